"""FlexiCubes: a mesh from signed distances at the corners of cubes, differentiable in all that goes in.

Shen et al., "Flexible isosurface extraction for gradient-based mesh optimization", 2023. It is dual marching cubes
(Nielson, 2004): within a cube, each connected piece of the surface gets one vertex, and four cubes around an edge that
the surface crosses give a quadrangle. Weights of each cube move its vertices and choose how quadrangles are cut.

Corner k of a cube has bit 0 for x, bit 1 for y and bit 2 for z. Distances are negative inside, and exactly 0 is
outside; faces are counter-clockwise seen from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

EDGES = ((0, 1), (1, 5), (4, 5), (0, 4), (2, 3), (3, 7), (6, 7), (2, 6), (2, 0), (3, 1), (7, 5), (6, 4))
_SIDES = ((0, 2, 6, 4), (1, 3, 7, 5), (0, 1, 5, 4), (2, 3, 7, 6), (0, 1, 3, 2), (4, 5, 7, 6))  # corners, around


@dataclass(frozen=True, eq=False)
class Surface:
    """vertices [N, 3]; faces [M, 3] int64; deviation [E]: for each vertex and each edge that its piece of the surface
    crosses, how far the crossing (alpha aside) is from the vertex beyond the mean of them; their mean is L_dev."""

    vertices: Tensor
    faces: Tensor
    deviation: Tensor


@dataclass(frozen=True, eq=False)
class _Crossings:
    """The edges that the surface crosses, once for each cube that has them: all [K].

    cube: row of the cube; edge: 0 to 11; vertex: that of the piece which crosses it. owner [N]: cube of each vertex.
    """

    cube: Tensor
    edge: Tensor
    vertex: Tensor
    owner: Tensor


def extract(
    vertices: Tensor,
    cubes: Tensor,
    signed_distance: Tensor,
    beta: Tensor | None = None,
    alpha: Tensor | None = None,
    gamma: Tensor | None = None,
    centred: bool = False,
) -> Surface:
    """The zero surface of signed distances [V] at vertices [V, 3], the corners of cubes [C, 8] int64.

    beta [C, 12], alpha [C, 8] and gamma [C], all positive, weigh each cube's crossed edges, its corners and its
    vertices (1 where not given). Cubes share corners by index; edges at the end of the cubes get no face, so a surface
    that leaves them is open there. centred: each quadrangle becomes four triangles around a vertex that gamma places,
    as the paper optimises them; else two, cut along the diagonal with the larger product of gammas.
    """
    inside = signed_distance < 0
    active = surface_cubes(cubes, signed_distance)
    cubes = cubes[active]
    beta, alpha, gamma = (None if weights is None else weights[active] for weights in (beta, alpha, gamma))
    crossings = _crossings(cubes, inside)
    places, deviation = _dual_vertices(vertices, cubes, signed_distance, crossings, beta, alpha)
    quads = _quads(cubes, inside, crossings)
    weight = places.new_ones(len(places)) if gamma is None else gamma[crossings.owner]
    points, faces = (_fans if centred else _halves)(places, quads, weight)
    return Surface(points, faces, deviation)


def surface_cubes(cubes: Tensor, signed_distance: Tensor) -> Tensor:
    """[K]: the cubes [C, 8] that hold a part of the surface; weights of the others are not read."""
    inside = (signed_distance < 0)[cubes]
    return torch.nonzero(inside.any(1) & ~inside.all(1)).squeeze(1)


def sign_changes(cubes: Tensor, signed_distance: Tensor) -> Tensor:
    """Mean cross entropy of each end's distance with the other end's side, over the crossed edges: the paper's
    regulariser against surfaces that nothing supervises."""
    edges = torch.tensor(EDGES, device=cubes.device)
    ends = signed_distance[torch.unique(torch.sort(cubes[:, edges].reshape(-1, 2), 1).values, dim=0)]
    ends = ends[(ends[:, 0] < 0) != (ends[:, 1] < 0)]
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    return loss(ends, (ends.flip(1) > 0).to(ends.dtype))


def grid(resolution: int, device: str | torch.device = "cpu") -> tuple[Tensor, Tensor]:
    """Vertices [(R + 1)^3, 3] in [-1, 1] and cubes [R^3, 8] of a regular grid, x slowest and z fastest."""
    line = torch.linspace(-1, 1, resolution + 1, device=device)
    vertices = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    place = torch.arange(resolution, device=device)
    n = resolution + 1
    first = ((place[:, None, None] * n + place[:, None]) * n + place).reshape(-1, 1)
    steps = [(k & 1) * n * n + (k >> 1 & 1) * n + (k >> 2) for k in range(8)]
    return vertices, first + torch.tensor(steps, device=device)


def _crossings(cubes: Tensor, inside: Tensor) -> _Crossings:
    pieces, piece, doubtful = (table.to(cubes.device) for table in _tables())
    pattern = _pattern(cubes, inside)
    flip = _neighbours_in_doubt(cubes, doubtful[pattern])
    pattern[flip] = 255 - pattern[flip]
    count = pieces[pattern]
    first = torch.cumsum(count, 0) - count
    cube, edge = torch.nonzero(piece[pattern] >= 0, as_tuple=True)
    vertex = first[cube] + piece[pattern[cube], edge]
    return _Crossings(cube, edge, vertex, torch.repeat_interleave(torch.arange(len(cubes), device=cubes.device), count))


def _pattern(cubes: Tensor, inside: Tensor) -> Tensor:
    """[C]: bit k tells whether corner k is inside."""
    return (inside[cubes].long() << torch.arange(8, device=cubes.device)).sum(1)


def _neighbours_in_doubt(cubes: Tensor, side: Tensor) -> Tensor:
    """[K]: the cubes whose doubtful side (0 to 5, -1 for none) is that of a neighbour too.

    There, a piece in each of the two cubes would cross all edges of the side, and four faces would share one edge.
    """
    doubtful = torch.nonzero(side >= 0).squeeze(1)
    if not len(doubtful):
        return doubtful
    corners = torch.tensor(_SIDES, device=cubes.device)[side[doubtful]]
    shared = torch.sort(torch.gather(cubes[doubtful], 1, corners), 1).values
    _, group, count = torch.unique(shared, dim=0, return_inverse=True, return_counts=True)
    return doubtful[count[group] == 2]


def _dual_vertices(
    vertices: Tensor,
    cubes: Tensor,
    signed_distance: Tensor,
    crossings: _Crossings,
    beta: Tensor | None,
    alpha: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The vertices [N, 3], means of where their pieces cross edges, and their deviations [K]."""
    cube, edge, vertex = crossings.cube, crossings.edge, crossings.vertex
    ends = torch.tensor(EDGES, device=cubes.device)[edge]
    corner = torch.gather(cubes[cube], 1, ends)
    distance = signed_distance[corner]
    crossing = _crossing(vertices[corner], distance)
    place = crossing
    if alpha is not None:
        place = _crossing(vertices[corner], distance * torch.gather(alpha[cube], 1, ends))
    weight = place.new_ones(len(place)) if beta is None else beta[cube, edge]
    number = len(crossings.owner)
    total = place.new_zeros(number).index_add(0, vertex, weight)
    mean = place.new_zeros(number, 3).index_add(0, vertex, place * weight[:, None]) / total[:, None]
    reach = torch.linalg.vector_norm(mean[vertex] - crossing, dim=1)
    count = torch.bincount(vertex, minlength=number).to(reach.dtype)
    usual = place.new_zeros(number).index_add(0, vertex, reach) / count
    return mean, (reach - usual[vertex]).abs()


def _crossing(ends: Tensor, distance: Tensor) -> Tensor:
    """[K, 3]: where distances [K, 2] at the ends [K, 2, 3] of edges pass zero."""
    share = distance[:, 0] / (distance[:, 0] - distance[:, 1])
    return ends[:, 0] + share[:, None] * (ends[:, 1] - ends[:, 0])


def _quads(cubes: Tensor, inside: Tensor, crossings: _Crossings) -> Tensor:
    """[Q, 4] vertices around each edge that four cubes share, counter-clockwise seen from outside."""
    low, high, turn = (torch.tensor(column, device=cubes.device) for column in zip(*map(_around, EDGES)))
    first, second = cubes[crossings.cube, low[crossings.edge]], cubes[crossings.cube, high[crossings.edge]]
    key, group = torch.unique(first * len(inside) + second, return_inverse=True)
    quads = torch.full((len(key), 4), -1, dtype=torch.long, device=cubes.device)
    quads[group, turn[crossings.edge]] = crossings.vertex
    outwards = inside[key // len(inside)]
    quads = torch.where(outwards[:, None], quads, quads.flip(1))
    return quads[(quads >= 0).all(1)]


def _around(edge: tuple[int, int]) -> tuple[int, int, int]:
    """An edge's lower corner, upper corner, and the cube's turn among the four around the edge.

    The turns go counter-clockwise seen from the edge's upper end, and begin so that equal gammas cut the quadrangles as
    the authors' program does.
    """
    low, high = min(edge), max(edge)
    axis = (low ^ high).bit_length() - 1
    position = low >> (axis + 1) % 3 & 1, low >> (axis + 2) % 3 & 1
    turn = ((0, 0), (1, 0), (1, 1), (0, 1)).index(position)
    return low, high, (turn + (axis == 1)) % 4


def _halves(places: Tensor, quads: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    weight = gamma[quads]
    straight = weight[:, 0] * weight[:, 2] >= weight[:, 1] * weight[:, 3]
    cut = torch.where(straight[:, None], quads, quads.roll(-1, 1))
    return places, torch.cat([cut[:, [0, 1, 2]], cut[:, [0, 2, 3]]])


def _fans(places: Tensor, quads: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    weight, corner = gamma[quads], places[quads]
    one, other = weight[:, 0] * weight[:, 2], weight[:, 1] * weight[:, 3]
    middle = one[:, None] * (corner[:, 0] + corner[:, 2]) + other[:, None] * (corner[:, 1] + corner[:, 3])
    centre = (len(places) + torch.arange(len(quads), device=quads.device))[:, None]
    faces = [torch.cat([quads[:, [k, (k + 1) % 4]], centre], 1) for k in range(4)]
    return torch.cat([places, middle / (2 * (one + other))[:, None]]), torch.cat(faces)


@cache
def _tables() -> tuple[Tensor, Tensor, Tensor]:
    """By a cube's pattern: how many pieces of the surface it holds [256]; to which of them each edge belongs
    [256, 12], -1 where it is not crossed; and its doubtful side [256], or -1."""
    rows = [_pieces(pattern) for pattern in range(256)]
    doubtful = [_doubtful_side(pattern, piece) for pattern, piece in enumerate(rows)]
    return torch.tensor([max(piece) + 1 for piece in rows]), torch.tensor(rows), torch.tensor(doubtful)


def _pieces(pattern: int) -> list[int]:
    """[12]: two crossed edges of a side belong together; of four, those at each corner that is inside."""
    label = list(range(12))
    for one, other in (pair for side in _SIDES for pair in _joined(pattern, side)):
        old, new = label[one], label[other]
        label = [new if value == old else value for value in label]
    crossed = [(pattern >> a & 1) != (pattern >> b & 1) for a, b in EDGES]
    names = sorted({name for name, is_crossed in zip(label, crossed) if is_crossed})
    return [names.index(name) if is_crossed else -1 for name, is_crossed in zip(label, crossed)]


def _joined(pattern: int, side: tuple[int, ...]) -> list[tuple[int, int]]:
    """The pairs of crossed edges that the surface joins across a side."""
    bits = [pattern >> corner & 1 for corner in side]
    edges = [_edge(side[k], side[(k + 1) % 4]) for k in range(4)]
    crossed = [edges[k] for k in range(4) if bits[k] != bits[(k + 1) % 4]]
    if len(crossed) == 4:
        return [(edges[k - 1], edges[k]) for k in range(4) if bits[k]]
    return [(crossed[0], crossed[1])] if crossed else []


def _doubtful_side(pattern: int, piece: list[int]) -> int:
    for number, side in enumerate(_SIDES):
        edges = {piece[_edge(side[k], side[(k + 1) % 4])] for k in range(4)}
        if len(edges) == 1 and edges != {-1}:
            return number
    return -1


def _edge(one: int, other: int) -> int:
    return next(k for k, ends in enumerate(EDGES) if set(ends) == {one, other})
