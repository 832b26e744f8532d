"""What a codec is, and the table of codecs.

A codec is a module with two functions. Both see the mesh in the container's frame: centre of the bounding box near 0,
its diagonal 1 (`container.Frame`).

    encode(mesh, goal, effort, seed, progress) -> bytes     CannotError where it cannot hold the mesh or reach the size
    decode(payload) -> Mesh                                 InputError where the payload is damaged

The same payload decodes to the same mesh everywhere. `decode` allocates nothing by a count that it has not checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from mvgen.core.errors import InputError
from mvgen.core.geometry import Mesh
from mvgen.core.progress import Progress

if TYPE_CHECKING:
    from mvgen.core.keyspheres.place import Place
    from mvgen.core.keyspheres.spheres import Spheres


@dataclass(frozen=True, eq=False)
class FieldSettings:
    """How a codec of fields makes its network; None leaves it to the codec.

    spheres: how many, or which; width, layers: of the network; paper: as it was published, in float32; latent: a free
    feature for each sphere; samples: points to learn from; checkpoint: a folder in which training can go on.
    """

    spheres: int | Spheres | None = None
    width: int | None = None
    layers: int | None = None
    paper: bool = False
    latent: bool = False
    samples: int | None = None
    checkpoint: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Goal:
    """What to reach: at most so many bytes, and at most these errors in diagonals. None stands for no bound.

    With a size the error shall be as small as it gets; without one the size, under the errors. field: for codecs of
    fields.
    """

    bytes: int | None = None
    mean: float | None = None
    maximum: float | None = None
    field: FieldSettings = FieldSettings()


class FieldEncoder(Protocol):
    """The functions of the module of a codec of fields: what it decodes to depends on the grid's resolution.

    It sees meshes with their holes filled, and its payload has no colours: `keyspheres.trim` and `keyspheres.colours`
    code both for the place that the payload tells. That raises as `decode` does.
    """

    def encode(self, mesh: Mesh, goal: Goal, effort: int, seed: int, progress: Progress) -> bytes: ...

    def decode(self, payload: bytes, resolution: int | None = None) -> Mesh: ...

    def resolution_of(self, payload: bytes) -> int: ...

    def place_of(self, payload: bytes) -> Place: ...


class Encoder(Protocol):
    """The functions of a codec's module."""

    def encode(self, mesh: Mesh, goal: Goal, effort: int, seed: int, progress: Progress) -> bytes: ...

    def decode(self, payload: bytes) -> Mesh: ...


class RivalEncoder(Encoder, Protocol):
    """The functions of the module of a codec from a package: it takes long, and is tried where it has a chance."""

    def may_beat(self, mesh: Mesh, size: int, mean: float) -> bool: ...


@dataclass(frozen=True)
class Codec:
    """number: its mark in files; option: the value of ``--codec`` that tries it; keeps: whether vertices and faces stay
    those of the source; package: what must be installed for it beside mvgen, a `RivalEncoder`; field: a `FieldEncoder`,
    tried only when it is asked for by name, as it takes long."""

    name: str
    number: int
    module: str
    option: str
    keeps: bool
    package: str | None = None
    field: bool = False

    @property
    def is_there(self) -> bool:
        return find_spec(self.module) is not None and (self.package is None or find_spec(self.package) is not None)

    def load(self) -> Encoder:
        """Raises InputError where its package is not installed."""
        if self.package is not None and find_spec(self.package) is None:
            raise InputError(f"the codec {self.name} needs {self.package}, which is not installed", _INSTALL)
        module: Any = import_module(self.module)
        return module

    def load_field(self) -> FieldEncoder:
        module: Any = self.load()
        return module

    def load_rival(self) -> RivalEncoder:
        module: Any = self.load()
        return module


_INSTALL = "pip install 'mvgen[draco]'"
CODECS: Final = (
    Codec("surface", 1, "mvgen.core.compress.surface", "surface", keeps=False),
    Codec("mesh", 2, "mvgen.core.compress.mesh", "mesh", keeps=True),
    Codec("keyspheres", 5, "mvgen.core.keyspheres.codec", "keyspheres", keeps=False, field=True),
    Codec("sdf", 6, "mvgen.core.keyspheres.sdf", "sdf", keeps=False, field=True),
    Codec("draco", 3, "mvgen.core.compress.draco", "surface", keeps=False, package="DracoPy"),
    Codec("draco-mesh", 4, "mvgen.core.compress.draco_mesh", "mesh", keeps=True, package="DracoPy"),
)


def codec_of(number: int) -> Codec | None:
    """The codec with a number, if this version has one."""
    return next((c for c in CODECS if c.number == number and find_spec(c.module) is not None), None)


def candidates(option: str) -> list[Codec]:
    """The codecs that ``--codec`` tries, those that are installed."""
    return [c for c in CODECS if (option == c.option or (option == "auto" and not c.field)) and c.is_there]
