"""Maps painted in the template's UVs, baked again into another surface's.

Each texel of the new layout is a point of the surface; the correspondence says which point of the
wrapped template it is, and that point is looked up in the template's maps. Normal maps only carry
their relief over: what the template's map adds to the template's own smooth normal is added to the
surface's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..appearance.maps import Maps, MapSet
from ..geometry.closest import Surface
from ..geometry.correspondence import Correspondence, Outside
from ..render.bake import dilate, uv_fragments
from ..render.fragments import Fragments
from ..render.normal_map import decode, encode
from ..render.normals import vertex_normals
from ..render.raster import interpolate, interpolate_corners, sample_texture


@torch.no_grad()
def rebake(
    maps: Maps,
    target: Outside,
    surface: Surface,
    triangle_uv: NDArray[np.floating],
    match: Correspondence,
) -> Maps:
    """The same maps in the surface's layout, at their size.

    Args:
        maps: In the template's UVs.
        target: The wrapped template.
        surface: (N, 3) metres and (T, 3), facing outward.
        triangle_uv: (T, 3, 2) of the surface.
        match: Of the surface's vertices.
    """
    size = len(maps.roughness)
    lookup = Lookup.make(target, surface, triangle_uv, match, size)
    sets = {}
    for name, own in maps.sets.items():
        side = len(own.roughness)
        there = lookup if side == size else Lookup.make(target, surface, triangle_uv, match, side)
        sets[name] = there.map_set(own)
    base = lookup.map_set(MapSet(maps.albedo_srgb, maps.roughness, maps.specular))
    normal = lookup.relief(maps.normal, surface, triangle_uv)
    return Maps(base.albedo_srgb, base.roughness, base.specular, normal, sets)


@dataclass(frozen=True, eq=False)
class Lookup:
    """Texels of a surface's layout, and the template's points that they show.

    Attributes:
        texels: The layout's texels with the surface's triangles.
        there: The same texels with the template's triangles.
        uv: (1, 2, S, S), the template's UVs there.
        target: The wrapped template.
    """

    texels: Fragments
    there: Fragments
    uv: Tensor
    target: Outside

    @classmethod
    def make(
        cls,
        target: Outside,
        surface: Surface,
        triangle_uv: NDArray[np.floating],
        match: Correspondence,
        size: int,
    ) -> Lookup:
        """Between vertices, the point half-way between theirs is carried down to the template."""
        texels = uv_fragments(_tensor(triangle_uv), size)
        triangles = torch.from_numpy(np.asarray(surface[1], np.int64))
        places = interpolate(torch.from_numpy(match.points), triangles, texels)[0]
        aims = places.flatten(1).T[texels.covered].numpy()
        triangle, weights, _ = target.project(aims)
        shape = texels.mask.shape
        seen = torch.full((texels.mask.numel(),), -1, dtype=torch.int32)
        seen[texels.covered] = torch.from_numpy(triangle).int()
        inside = torch.zeros(texels.mask.numel(), 3)
        inside[texels.covered] = _tensor(weights)
        there = Fragments(seen.view(shape), inside.view(*shape, 3), texels.mask)
        uv = interpolate_corners(_tensor(target.template.triangle_uv), there)
        return cls(texels, there, uv, target)

    def map_set(self, maps: MapSet) -> MapSet:
        planes = np.dstack([maps.albedo_srgb, maps.roughness, maps.specular])
        found = self._grown(self._sample(planes)).permute(1, 2, 0).numpy()
        albedo, roughness, specular = np.split(found, [3, 4], axis=2)
        return MapSet(
            np.ascontiguousarray(albedo),
            np.ascontiguousarray(roughness[..., 0]),
            np.ascontiguousarray(specular[..., 0]),
        )

    def relief(
        self, normal: NDArray[np.floating], surface: Surface, triangle_uv: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """(S, S, 3): a tangent-space normal map carried over to the surface's tangents."""
        head, old = _tensor(self.target.vertices), torch.from_numpy(self.target.triangles)
        old_uv = _tensor(self.target.template.triangle_uv)
        rough = self._rows(decode(self._sample(normal), head, old, old_uv, self.there))
        even = self._smooth(head, old, self.there)
        vertices, triangles = _tensor(surface[0]), torch.from_numpy(np.asarray(surface[1], np.int64))
        own = self._smooth(vertices, triangles, self.texels)
        world = self.texels.spread(turned(rough, even, own))[0]
        found = encode(world, vertices, triangles, _tensor(triangle_uv), self.texels)
        return np.ascontiguousarray(self._grown(found).clamp(0, 1).permute(1, 2, 0).numpy())

    def _sample(self, image: NDArray[np.floating]) -> Tensor:
        texture = _tensor(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))
        return sample_texture(texture, self.uv)[0]

    def _grown(self, image: Tensor) -> Tensor:
        return dilate(image, self.texels.mask[0], 2 * image.shape[-1])

    def _rows(self, image: Tensor) -> Tensor:
        return image.flatten(1).T[self.texels.covered]

    def _smooth(self, vertices: Tensor, triangles: Tensor, fragments: Fragments) -> Tensor:
        image = interpolate(vertex_normals(vertices, triangles), triangles, fragments)[0]
        return functional.normalize(self._rows(image), dim=-1)


def turned(vectors: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """(N, 3) vectors after the shortest rotation that takes unit `before` to unit `after` (N, 3).

    Rodrigues' formula in the form without angles: R = I + K + K K / (1 + cos), K the cross product
    with before x after. Where the two are opposite, `after` itself is returned.
    """
    axis = torch.linalg.cross(before, after)
    cosine = (before * after).sum(-1, keepdim=True)
    once = torch.linalg.cross(axis, vectors)
    twice = torch.linalg.cross(axis, once)
    out = vectors + once + twice / (1 + cosine).clamp(min=1e-3)
    return torch.where(cosine < -0.99, after, out)


def _tensor(array: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
