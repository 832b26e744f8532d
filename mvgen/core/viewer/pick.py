"""Selecting in the browser: the tools of the panel, and what the mouse does with each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from mvgen.core.box import Box
from mvgen.core.camera import Camera
from mvgen.core.errors import MvgenError
from mvgen.core.region.session import CHANGES, Session
from mvgen.core.splats.model import matrices
from mvgen.core.viewer.stage import SIZE, Stage

if TYPE_CHECKING:
    from viser import ViserServer

HOW = {  # what the mouse does with each tool
    "turn": "the mouse moves the view",
    "click": "click on a place",
    "brush": "drag over places",
    "lasso": "drag around what is meant",
    "rectangle": "drag from corner to corner",
    "part": "click on a part",
}
TOOLS = tuple(HOW)
_ORANGE = (255, 115, 0)
_MOST = 200_000  # places that are marked
_FAR = 20 * SIZE  # radius of the sphere that feels the mouse where nothing else is


def camera_of(view: Any, stage: Stage) -> Camera:
    """The camera of a browser's window, in the numbers of the files."""
    width, height = int(view.image_width), int(view.image_height)
    focal = height / 2 / np.tan(view.fov / 2)
    pose = np.eye(4)
    pose[:3, :3] = matrices(np.array([view.wxyz]))[0].T
    pose[:3, 3] = -pose[:3, :3] @ view.position
    lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Camera("browser", width, height, lens, pose).moved(stage.placing.inverse())


def add_tools(server: ViserServer, session: Session, stage: Stage) -> Picker:
    """Folders with tools that change a session."""
    picker = Picker(server, session, stage)
    picker.build()
    picker.mark()
    return picker


@dataclass
class Picker:
    """The controls of the panel, and what is being drawn."""

    server: ViserServer
    session: Session
    stage: Stage
    lock: Any = field(default_factory=RLock)
    path: list[tuple[float, float]] = field(default_factory=list)  # pixels of a brush or lasso
    canvas: Any = None
    marks: Any = None

    def build(self) -> None:
        gui = self.server.gui
        with gui.add_folder("Select"):
            self.count = gui.add_markdown("")
            self.tool = gui.add_dropdown("tool", TOOLS, initial_value="turn", hint="turn moves the view")
            self.how = gui.add_markdown(HOW["turn"])
            self.change = gui.add_dropdown("found", CHANGES, initial_value="add", hint="what becomes of what is found")
            self.radius = gui.add_slider("radius %", min=0.1, max=20, step=0.1, initial_value=2, hint="of the diagonal")
            self.through = gui.add_checkbox("through", initial_value=False, hint="take what is hidden, too")
            self.marked: Any = gui.add_checkbox("in orange", initial_value=True, hint="show what is selected")
            self.tool.on_update(lambda _: self.bind())
            self.marked.on_update(lambda _: self.show_marks())
            for label, act in (
                ("undo", lambda: self.session.undo()),
                ("grow", lambda: self.session.grow(self.length)),
                ("shrink", lambda: self.session.shrink(self.length)),
                ("invert", lambda: self.session.invert()),
            ):
                self.add_button(label, act)
        with gui.add_folder("Box", expand_by_default=False):
            low, high = self.session.things.places.min(0), self.session.things.places.max(0)
            self.low = gui.add_vector3("lowest", low.astype(np.float64), step=1e-6)
            self.high = gui.add_vector3("highest", high.astype(np.float64), step=1e-6)
            self.add_button("select box", self.take_box)

    def turn_to(self, session: Session) -> None:
        """Go on with another session, whose selection is not in the way at first."""
        self.session = session
        self.mark(False)

    @property
    def length(self) -> float:
        """The radius in the numbers of the file."""
        return self.radius.value / 100 * self.session.diagonal

    def add_button(self, label: str, act: Callable[[], Any], said: bool = False, hint: str | None = None) -> Any:
        """A button that does a thing; ``said``: the thing is to save, and says so in a line."""
        button = self.server.gui.add_button(label, hint=hint)
        button.on_click(lambda event: self.run(event, act, said))
        return button

    def run(self, event: Any, act: Callable[[], Any], said: bool = False) -> None:
        """Do one thing at a time; what cannot be done is told in the browser."""
        with self.lock:
            try:
                text = act()
            except MvgenError as error:
                event.client.add_notification(error.message, error.hint or "", color="red", auto_close_seconds=8)
                return
            if said:
                event.client.add_notification("saved", str(text), auto_close_seconds=4)
            else:
                self.mark()

    def mark(self, visible: bool = True) -> None:
        """Show what is selected, and tell how much that is."""
        chosen = self.session.chosen()
        things = self.session.things
        kind = things.kind if things.own is None else "places"
        self.count.content = f"{len(chosen):,} of {len(self.session.mask):,} {kind} selected"
        some = chosen[:: max(1, -(-len(chosen) // _MOST))]
        self.marks = self.server.scene.add_point_cloud(
            "/selection",
            self.stage.placing.apply(some.astype(np.float64)),
            _ORANGE,
            point_size=0.006 * SIZE,
            precision="float32",
            point_shape="circle",
            visible=visible,
        )
        self.marked.value = visible

    def show_marks(self) -> None:
        self.marks.visible = self.marked.value

    def bind(self) -> None:
        """Let the mouse do what the tool is for."""
        scene, tool = self.server.scene, self.tool.value
        scene.remove_click_callback("all")
        scene.remove_rect_select_callback("all")
        if self.canvas is not None:
            self.canvas.remove()
            self.canvas = None
        if tool in ("click", "part"):
            scene.on_click()(self.clicked)
        elif tool == "rectangle":
            scene.on_rect_select()(self.framed)
        elif tool in ("brush", "lasso"):
            self.canvas = self.add_canvas()
            self.canvas.on_drag("left")(self.dragged)
        self.how.content = HOW[tool]  # last: who reads it may use the tool

    def add_canvas(self) -> Any:
        """Something all around that cannot be seen: only nodes of the scene feel a mouse that is dragged."""
        import trimesh

        ball = trimesh.creation.icosphere(3, _FAR)
        return self.server.scene.add_mesh_simple(
            "/canvas",
            np.asarray(ball.vertices),
            np.asarray(ball.faces),
            opacity=0.0,
            side="double",
            cast_shadow=False,
            receive_shadow=False,
        )

    def clicked(self, event: Any) -> None:
        camera = camera_of(event.client.camera, self.stage)
        x, y = _pixel(event.screen_pos, camera)

        def act() -> None:
            one = self.tool.value == "part"
            found = self.session.part_at(camera, x, y) if one else self.session.at(camera, x, y, self.length)
            self.session.take(found, self.change.value)

        self.run(event, act)

    def framed(self, event: Any) -> None:
        camera = camera_of(event.client.camera, self.stage)
        (x0, y0), (x1, y1) = (_pixel(corner, camera) for corner in (event.screen_min, event.screen_max))
        self.enclose(event, camera, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)])

    def dragged(self, event: Any) -> None:
        camera = camera_of(event.client.camera, self.stage)
        with self.lock:
            if event.phase == "start":
                self.path = []
            self.path.append(_pixel(event.end_screen_pos, camera))
            path = list(self.path)
        if event.phase != "end":
            return
        if self.tool.value == "lasso":
            self.enclose(event, camera, path)
        else:
            self.run(event, lambda: self.session.take(self.session.along(camera, path, self.length), self.change.value))

    def enclose(self, event: Any, camera: Camera, corners: list[tuple[float, float]]) -> None:
        if len(corners) > 2:
            self.run(
                event,
                lambda: self.session.take(self.session.inside(camera, corners, self.through.value), self.change.value),
            )

    def take_box(self) -> None:
        box = Box(self.low.value, self.high.value)
        self.session.take(box.holds(self.session.things.places), self.change.value)


def _pixel(place: tuple[float, float], camera: Camera) -> tuple[float, float]:
    """Of a place in a window, from 0 to 1."""
    return place[0] * camera.width, place[1] * camera.height
