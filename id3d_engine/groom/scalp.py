"""The head that hair grows on: where roots can be, what lies below a strand, the mean head's axes."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..assets.anatomy import Anatomy, anatomy
from ..assets.hair import SkullFrame, skull_frame
from ..geometry.closest import Target, unit, vertex_normals
from ..template import MOUTH, HeadTemplate, per_triangle

Array = NDArray[np.float64]
REACH_M = 0.25  # no strand goes farther from the head


@dataclass(frozen=True, eq=False)
class Roots:
    """S places on a head's skin.

    Attributes:
        place, normal: (S, 3) on the head.
        rest: (S, 3) the same places on the mean head.
        uv: (S, 2) in the head's UV layout.
        corners, weights: (S, 3) vertices of the triangle below and the place's barycentric weights in it.
    """

    place: Array
    normal: Array
    rest: NDArray[np.float32]
    uv: NDArray[np.float32]
    corners: NDArray[np.int64]
    weights: Array

    def __len__(self) -> int:
        return len(self.place)

    def only(self, chosen: NDArray) -> Roots:
        """The roots of an index or a mask."""
        return Roots(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def of(self, values: NDArray[np.floating]) -> Array:
        """(S,) what (V,) values of vertices are there."""
        return (values[self.corners] * self.weights).sum(axis=1)


class Scalp:
    """A finished head of the template's topology.

    Args:
        template: The topology and its mean head.
        vertices: (V, 3) the head, hair's body and beard raised, metres.
    """

    def __init__(self, template: HeadTemplate, vertices: NDArray[np.floating]) -> None:
        self.template = template
        self.vertices = np.asarray(vertices, np.float64)
        self.anatomy: Anatomy = anatomy(template)
        outside = (per_triangle(template.part) != MOUTH) & (
            template.triangles[:, 1] != template.triangles[:, 2]
        )
        hidden = template.regions["mouth_inside"] > 0.5
        outside &= ~hidden[template.triangles].all(axis=1)
        self._triangles = np.flatnonzero(outside)
        triangles = template.triangles[self._triangles]
        self._target = Target((self.vertices, triangles))
        self._normals = vertex_normals(self.vertices, triangles)
        # The mean head's axes over this head's: what is drawn on the one is looked up from the other.
        skin = np.unique(triangles)
        padded = np.column_stack([self.vertices[skin], np.ones(len(skin))])
        self._to_rest = np.linalg.lstsq(padded, template.vertices[skin].astype(np.float64), rcond=None)[0]

    def rest(self, points: Array) -> Array:
        """(N, 3) points near the head -> about the same points near the mean head."""
        return points @ self._to_rest[:3] + self._to_rest[3]

    def frame(self, rest: NDArray[np.float32]) -> SkullFrame:
        """Directions of (N, 3) points on the mean head from its skull's centre; all may bear hair."""
        return skull_frame(
            self.template, rest, np.zeros(len(rest), np.float32), np.ones(len(rest), np.float32)
        )

    def sow(self, chances: NDArray[np.floating], count: int, random: np.random.Generator) -> Roots:
        """About evenly spread roots on the skin.

        Args:
            chances: (V,) how densely hair grows at each vertex, in any unit; 0 for none.
            count: How many.
            random: Chooses the places.
        """
        t, skin = self.template, per_triangle(self.template.part)[self._triangles] == 0
        usable = self._triangles[skin]
        corner = self.vertices[t.triangles[usable]]
        area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
        total = np.cumsum(area * chances[t.triangles[usable]].mean(axis=1))
        # Systematic sampling over triangles in order: even where they are larger than the strands' spacing.
        spots = (np.arange(count) + random.random(count)) / count * total[-1]
        which = usable[np.minimum(np.searchsorted(total, spots, side="right"), len(usable) - 1)]
        one, two = np.sqrt(random.random(count)), random.random(count)
        weights = np.column_stack([1 - one, one * (1 - two), one * two])
        vertices = t.triangles[which]

        def at(values: NDArray) -> NDArray:
            return np.einsum("sk,skc->sc", weights, values[vertices].astype(np.float64))

        uv = np.einsum("sk,skc->sc", weights, t.triangle_uv[which].astype(np.float64))
        return Roots(
            at(self.vertices),
            unit(at(self._normals)),
            at(t.vertices).astype(np.float32),
            uv.astype(np.float32),
            vertices.astype(np.int64),
            weights,
        )

    def kept_out(
        self, points: Array, low: Array | float, high: Array | float = np.inf
    ) -> tuple[Array, Array]:
        """(N, 3) points no nearer to the skin than `low` metres and no farther than `high`.

        Returns:
            The points and (N, 3) normals of the skin below them.
        """
        near = self._target.closest(points, REACH_M)
        above = points - near.points
        height = np.where((above * near.normals).sum(axis=1) >= 0, near.distance, -near.distance)
        wanted = np.clip(height, low, high)
        out = np.where((wanted != height)[:, None], near.points + near.normals * wanted[:, None], points)
        return out, near.normals
