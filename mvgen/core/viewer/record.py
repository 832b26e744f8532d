"""Recording views in the browser: each is an orbit round what is looked at, with what should be seen from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from mvgen.core.errors import CannotError, MvgenError
from mvgen.core.guidance.orbits import MOST_LETTERS, MOST_ORBITS, Orbit, Range, angles
from mvgen.core.viewer.stage import Stage

if TYPE_CHECKING:
    from viser import ViserServer

TILT, TURN, ZOOM = 10.0, 15.0, 10.0  # degrees, degrees and % to both sides of the camera, at first
_STEEP = 90.0
_SHOWN = 60  # letters of a prompt in the list


def orbit_of(
    view: Any, stage: Stage, prompt: str, negative: str, tilt: float = TILT, turn: float = TURN, zoom: float = ZOOM
) -> Orbit:
    """The orbit of a browser's camera, in the numbers of the files, with degrees and % to both of its sides."""
    back = stage.placing.inverse()
    eye, target = back.apply(np.array([view.position, view.look_at], np.float64))
    elevation, azimuth = angles(eye - target, stage.up)
    distance = float(np.linalg.norm(eye - target))
    x, y, z = (_short(v) for v in target)
    return Orbit(
        prompt,
        (x, y, z),
        (_short(max(elevation - tilt, -_STEEP)), _short(min(elevation + tilt, _STEEP))),
        (_short(azimuth - turn), _short(azimuth + turn)),
        _around(distance, zoom / 100),
        negative=negative,
        fov=_short(float(np.degrees(view.fov))),
    )


def add_recorder(server: ViserServer, stage: Stage, save: Callable[[Sequence[Orbit]], str]) -> None:
    """A folder in which views are added and saved. ``save`` writes them and says so in a line, or raises."""
    Recorder(server, stage, save).build()


@dataclass
class Recorder:
    """The controls of the panel, and the views so far."""

    server: ViserServer
    stage: Stage
    save: Callable[[Sequence[Orbit]], str]
    orbits: list[Orbit] = field(default_factory=list)
    lock: Any = field(default_factory=RLock)

    def build(self) -> None:
        gui = self.server.gui
        with gui.add_folder("Views"):
            self.prompt = gui.add_text("prompt", "", hint="what should be seen; empty: what --prompt says")
            self.negative = gui.add_text("without", "", hint="what should not be seen")
            self.tilt = gui.add_slider("tilt °", 0, 90, 1, int(TILT), hint="up and down from this view")
            self.turn = gui.add_slider("turn °", 0, 180, 1, int(TURN), hint="to the left and right of this view")
            self.zoom = gui.add_slider("zoom %", 0, 50, 1, int(ZOOM), hint="nearer and farther than this view")
            gui.add_button("add view").on_click(lambda event: self.run(event, lambda: self.add(event)))
            gui.add_button("remove last").on_click(lambda event: self.run(event, self.remove))
            self.list = gui.add_markdown("")
            gui.add_button("save views").on_click(lambda event: self.run(event, self.write))
        self.tell()

    def add(self, event: Any) -> None:
        """What the browser that asks for it sees."""
        texts = (self.prompt.value.strip(), self.negative.value.strip())
        if max(map(len, texts)) > MOST_LETTERS or len(self.orbits) >= MOST_ORBITS:
            raise CannotError("that is too much", f"{MOST_ORBITS} views with prompts of {MOST_LETTERS} letters at most")
        self.orbits.append(
            orbit_of(event.client.camera, self.stage, *texts, self.tilt.value, self.turn.value, self.zoom.value)
        )

    def remove(self) -> None:
        del self.orbits[-1:]

    def write(self) -> str:
        if not self.orbits:
            raise CannotError("there is no view yet", 'turn the object, write a prompt, and press "add view"')
        return self.save(self.orbits)

    def run(self, event: Any, act: Callable[[], str | None]) -> None:
        """Do one thing at a time; what cannot be done is told in the browser."""
        with self.lock:
            try:
                said = act()
            except MvgenError as error:
                event.client.add_notification(error.message, error.hint or "", color="red", auto_close_seconds=8)
                return
            if said is not None:
                event.client.add_notification("saved", said, auto_close_seconds=4)
            self.tell()

    def tell(self) -> None:
        rows = [f"{i + 1}. {_plain(orbit.prompt) or '-'}" for i, orbit in enumerate(self.orbits)]
        count = len(self.orbits)
        self.list.content = "\n".join([f"{count} view{'s' * (count != 1)}", "", *rows])


def _around(distance: float, share: float) -> Range:
    return _short(distance * (1 - share)), _short(distance * (1 + share))


def _short(value: float) -> float:
    """With six digits: browsers know no more."""
    return float(f"{value:.6g}")


def _plain(prompt: str) -> str:
    """The beginning of a prompt, with nothing that Markdown knows."""
    return "".join(c if c.isalnum() or c in " ,.-'" else " " for c in prompt)[:_SHOWN]
