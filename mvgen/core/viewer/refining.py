"""Refining in the browser: what is selected becomes finer, and is compared with what was before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

from mvgen.core.errors import CannotError, MvgenError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress
from mvgen.core.refine.meshes import Result, sharpen
from mvgen.core.refine.session import Refinement, Way
from mvgen.core.region.model import Region
from mvgen.core.region.session import Session
from mvgen.core.region.things import Mask, Things
from mvgen.core.viewer.compare import Comparison
from mvgen.core.viewer.pick import Picker, add_tools
from mvgen.core.viewer.stage import Stage

if TYPE_CHECKING:
    from viser import ViserServer

SHARPEN = "sharpen"
_HOW = 'Choose a tool, paint where the mesh should be refined, and press "refine".'


@dataclass(frozen=True)
class Choices:
    """What the surface can be refined by, with names: ``ways``, and sharpening by an amount, which is ``amount`` at
    first. strength: at first, above 0 and at most 1."""

    ways: Mapping[str, Way]
    amount: float
    strength: float = 1.0


def session_of(name: str, mesh: Mesh, mask: Mask) -> Session:
    """The vertices of a mesh, some of which [V] are selected."""
    return Session(Things(name, "vertices", mesh, len(mesh.vertices)), mask)


def add_refining(
    server: ViserServer,
    name: str,
    refinement: Refinement,
    stage: Stage,
    choices: Choices,
    progress: Progress,
    save: Callable[[], str],
    save_region: Callable[[Region], str],
) -> None:
    """A mesh, and folders with tools to select, refine and compare.

    save, save_region: write the mesh as it is, or what is selected of it, and say so in a line, or raise. progress
    hears what is worth a line.
    """
    picker = add_tools(server, session_of(name, refinement.now.mesh, refinement.now.mask), stage)
    panel = Refining(server, picker, refinement, Comparison(server, stage), choices, progress)
    panel.build()
    picker.add_button("save", save, said=True, hint="the mesh as it is now")
    hint = "what is selected, for --region"
    picker.add_button("save region", lambda: save_region(picker.session.region), said=True, hint=hint)


@dataclass
class Refining:
    """The controls of the panel; one refinement runs at a time, beside the page."""

    server: ViserServer
    picker: Picker
    refinement: Refinement
    comparison: Comparison
    choices: Choices
    progress: Progress
    work: Thread | None = field(default=None, repr=False)

    def build(self) -> None:
        gui, choices = self.server.gui, self.choices
        with gui.add_folder("Refine"):
            names = [*choices.ways, SHARPEN]
            self.source = gui.add_dropdown("by", names, initial_value=names[0], visible=len(names) > 1)
            self.amount = gui.add_slider(
                "amount", min=-1.0, max=10.0, step=0.1, initial_value=choices.amount, hint="below 0: smoother"
            )
            least, first = min(0.01, choices.strength), choices.strength
            self.strength = gui.add_slider(
                "strength", min=least, max=1.0, step=0.01, initial_value=first, hint="how far of the way it goes"
            )
            self.button = gui.add_button("refine", color="green")
            self.bar: Any = gui.add_progress_bar(0.0, visible=False)
            self.told = gui.add_markdown(_HOW)
            self.back = self.picker.add_button("undo refinement", self.undo)
        with gui.add_folder("Compare"):
            ends = ((0.0, "before"), (1.0, "after"))
            self.slider: Any = gui.add_slider(
                "shown", min=0.0, max=1.0, step=0.01, initial_value=1.0, marks=ends, hint="the last refinement"
            )
            self.coloured = gui.add_checkbox("colours", initial_value=False, visible=self.has_colours)
        self.source.on_update(lambda _: self.choose())
        self.button.on_click(self.start)
        self.slider.on_update(lambda _: self.wipe())
        self.coloured.on_update(lambda _: self.colour())
        self.choose()
        self.comparison.show(self.refinement.before.mesh, self.refinement.now.mesh)
        self.ready()

    @property
    def has_colours(self) -> bool:
        mesh = self.refinement.first.mesh
        return mesh.colours is not None or mesh.texture is not None

    def choose(self) -> None:
        self.amount.visible = self.source.value == SHARPEN

    def way(self) -> tuple[str, Way]:
        """What is chosen, and how it is called."""
        if self.source.value != SHARPEN:
            return self.source.value, self.choices.ways[self.source.value]
        amount = float(self.amount.value)
        return f"{SHARPEN} {amount:g}", partial(sharpen, amount=amount)

    def start(self, _: Any) -> None:
        """Refine what is selected, while the page goes on."""
        with self.picker.lock:
            if self.work is not None:
                return
            how, way = self.way()
            self.busy(True)
            arguments = (how, way, self.picker.session.mask, float(self.strength.value))
            self.work = Thread(target=self.refine, args=arguments, daemon=True)
            self.work.start()

    def refine(self, how: str, way: Way, mask: Mask, strength: float) -> None:
        """What a thread does; whatever goes wrong is told in the panel."""
        try:
            result = self.refinement.refined(way, mask, strength, Bar(self.bar, self.told, self.progress))
            with self.picker.lock:
                self.take(result, how, strength, int(mask.sum()))
        except MvgenError as error:
            self.fail(error.message, error.hint)
        except Exception as error:  # the page goes on
            self.fail(f"{type(error).__name__}: {error}", None)
        finally:
            self.work = None
            self.busy(False)

    def take(self, result: Result, how: str, strength: float, count: int) -> None:
        carried = self.refinement.take(result, self.picker.session.mask, how)
        self.show()
        self.told.content = f"Refined {count:,} vertices: {how}, strength {strength:g}." + (
            f" It has {len(result.mesh.faces):,} faces now; those nearest to the selection are selected."
            if carried
            else ""
        )

    def undo(self) -> None:
        if self.work is not None:
            raise CannotError("it is being refined", "wait for the end of it")
        self.refinement.undo()
        self.show()
        steps = self.refinement.steps
        self.told.content = f"Undone; what is left: {', '.join(steps)}." if steps else f"As it was at first. {_HOW}"

    def show(self) -> None:
        """The mesh as it is, with the selection, and what it can be compared with."""
        now = self.refinement.now
        self.comparison.show(self.refinement.before.mesh, now.mesh)
        self.slider.value = 1.0
        self.picker.turn_to(session_of(self.picker.session.things.name, now.mesh, now.mask))
        self.ready()

    def ready(self) -> None:
        """Let those controls alone be used that have something to do."""
        done = bool(self.refinement.steps)
        self.slider.disabled = not done
        self.back.disabled = not done or self.work is not None

    def wipe(self) -> None:
        with self.picker.lock:
            self.comparison.wipe(self.slider.value)
            if self.slider.value < 1:
                self.picker.marked.value = False  # it would hide the difference

    def colour(self) -> None:
        with self.picker.lock:
            self.comparison.colour(self.coloured.value)

    def busy(self, busy: bool) -> None:
        self.button.disabled = busy
        self.bar.visible = busy
        self.bar.value = 0.0
        self.back.disabled = busy or not self.refinement.steps

    def fail(self, message: str, hint: str | None) -> None:
        line = " ".join(f"{message}: {hint}".split() if hint else message.split())
        self.told.content = f"**Not refined**: {line}"


@dataclass
class Bar:
    """Progress as a bar of the panel, with the stage beside it."""

    bar: Any
    told: Any
    other: Progress  # that hears lines
    total: int = 0
    done: int = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.total, self.done = total or 0, 0
        self.told.content = f"{name} ..."
        self.bar.animated = not total
        self.bar.value = 0.0 if total else 100.0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        share = int(100 * min(self.done / self.total, 1)) if self.total else 100
        if share != self.bar.value:
            self.bar.value = float(share)

    def close(self) -> None:
        pass

    def note(self, text: str) -> None:
        self.other.note(text)

    def say(self, text: str) -> None:
        self.other.say(text)

    def warn(self, text: str) -> None:
        self.other.warn(text)
