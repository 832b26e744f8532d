"""Networks in the files that the authors of key spheres publish (PyTorch's ``.pth``).

The direct form holds ``net``, ``sphereNet`` and ``sphere32`` [M, 4]; the latent form holds ``net`` and ``spherelatent``
[M, 29], and its spheres lie in a text file beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import CannotError, InputError
from mvgen.core.geometry import Mesh
from mvgen.core.keyspheres.network import FEATURE, Network, published_sizes
from mvgen.core.keyspheres.spheres import MOST, Spheres
from mvgen.core.keyspheres.surface import surface_of
from mvgen.core.progress import Progress

LARGEST = 64 << 20  # bytes; the largest published one has 0.6 MB
WIDEST, DEEPEST = 1024, 64


def read_published(path: Path, name: str | None = None, spheres: Spheres | None = None) -> Network:
    """The network in a file, in its own frame: [-1, 1], the shape within a ball of radius 0.9.

    spheres: those of a latent network, whose file has none. Nothing in the file is executed. Raises InputError for
    another kind of file, and for a latent network without spheres.
    """
    name = name or str(path)
    state = _tensors(path, name)
    layers = _layers(state.get("net"), name)
    latent = "spherelatent" in state
    if latent:
        features = _array(state["spherelatent"], (None, FEATURE), name)
        lead = np.zeros((3 + FEATURE, 3 + len(features)), np.float32)
        lead[3:, 3:] = features.T
        places = _places(state, spheres, len(features), name)
        shift = np.zeros(3 + FEATURE, np.float32)
    else:
        part = state.get("sphereNet")
        if not isinstance(part, dict) or not {"model.0.weight", "model.0.bias"} <= part.keys():
            raise InputError(f"{name}: has neither sphereNet nor spherelatent", _HINT)
        lead = np.zeros((3 + FEATURE, 7), np.float32)
        lead[3:, 3:] = _array(part["model.0.weight"], (FEATURE, 4), name)
        shift = np.concatenate([np.zeros(3, np.float32), _array(part["model.0.bias"], (FEATURE,), name)])
        places = _array(state.get("sphere32"), (None, 4), name)
    lead[:3, :3] = np.eye(3)
    if not 1 <= len(places) <= MOST:
        raise InputError(f"{name}: has {len(places)} spheres", f"1 to {MOST} are read")
    width, hidden = len(layers[0][1]), len(layers) - 1
    sizes, kinds = published_sizes(len(places), width, hidden, latent)
    theta = np.concatenate([part.ravel() for pair in [(lead, shift), *layers] for part in pair])
    return Network(theta.astype(np.float32), sizes, kinds, places, latent)


def published_surface(network: Network, resolution: int, name: str, progress: Progress) -> Mesh:
    """The surface of a network as its authors draw it: marching cubes on nodes over [-1, 1], nothing moved after.

    Raises CannotError where there is none.
    """
    mesh = surface_of(network.folded(), np.array([[-1.0] * 3, [1.0] * 3]), resolution, 0, progress=progress)
    if not len(mesh.faces):
        raise CannotError(f"{name}: the network has no surface", "a higher --resolution may find a small one")
    return mesh


_HINT = "a network of key spheres holds net, and sphereNet with sphere32, or spherelatent"


def _tensors(path: Path, name: str) -> dict[str, Any]:
    import pickle

    import torch

    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{name}: is too large for a network of key spheres", _HINT)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, pickle.UnpicklingError):
        raise InputError(f"{name}: cannot be read as a network", _HINT) from None
    if not isinstance(state, dict):
        raise InputError(f"{name}: holds no network", _HINT)
    return state


def _array(value: Any, shape: tuple[int | None, ...], name: str) -> NDArray[np.float32]:
    """A tensor of this shape (None: any number), finite, as float32."""
    import torch

    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        raise InputError(f"{name}: a part of the network is missing or no floating-point tensor", _HINT)
    if value.dim() != len(shape) or any(want not in (None, have) for want, have in zip(shape, value.shape)):
        raise InputError(f"{name}: a part of the network has the shape {tuple(value.shape)}", _HINT)
    out = value.detach().to(torch.float32).contiguous().numpy()
    if not np.isfinite(out).all():
        raise InputError(f"{name}: has weights that are no numbers")
    return out


def _layers(net: Any, name: str) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The linear layers model.0, model.2, ...: all hidden ones of one width, the last with one output."""
    if not isinstance(net, dict):
        raise InputError(f"{name}: holds no net", _HINT)
    count = len(net) // 2
    names = [f"model.{2 * k}.{part}" for k in range(count) for part in ("weight", "bias")]
    if not 2 <= count <= DEEPEST or set(net) != set(names):
        raise InputError(f"{name}: the net is not a chain of linear layers", _HINT)
    first = _array(net["model.0.weight"], (None, 3 + FEATURE), name)
    width = len(first)
    if not 1 <= width <= WIDEST:
        raise InputError(f"{name}: a layer has {width} units", f"1 to {WIDEST} are read")
    out = []
    for k in range(count):
        n_in, n_out = 3 + FEATURE if k == 0 else width, 1 if k == count - 1 else width
        weights = _array(net[f"model.{2 * k}.weight"], (n_out, n_in), name)
        out.append((weights, _array(net[f"model.{2 * k}.bias"], (n_out,), name)))
    return out


def _places(state: dict[str, Any], spheres: Spheres | None, count: int, name: str) -> NDArray[np.float32]:
    """[M, 4]: the spheres of a latent network; the fourth number is not used by it."""
    if "sphere32" in state:
        places = _array(state["sphere32"], (count, 4), name)
    elif spheres is None:
        raise InputError(f"{name}: is a latent network, whose spheres lie in another file", "give --spheres-file")
    else:
        places = np.concatenate([spheres.centres, spheres.radii[:, None] / 64], axis=1).astype(np.float32)
    if len(places) != count:
        raise InputError(
            f"{name}: has {count} spheres, the file of spheres {len(places)}", "give the file it was trained with"
        )
    return places
