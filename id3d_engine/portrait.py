"""Pictures of a finished head: one expression, some views, one light, soft shadows, grey backdrop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .creases import creased
from .head import Head
from .png import to_uint8
from .render.cameras import Cameras, distance_for, orbit
from .render.hair import Hair, HairShade, draw, lit, outward, shade_strands
from .render.halved import halved
from .render.lights import Lights
from .render.normal_map import decode
from .render.normals import render_normals, vertex_normals
from .render.occlusion import ambient_occlusion, closer, interreflected, soft_shadows
from .render.raster import interpolate, sample_texture
from .render.shading import linear_to_srgb, shade, srgb_to_linear
from .render.surface import see
from .strands import TIP
from .template import EYE, SKIN, per_triangle

FOV_DEG = 20.0
MARGIN = 1.12  # the frame's height over the head's
_SKIN_WRAP = 0.3
_INNER_EDGE_M = 0.0015  # eyes, teeth
_EYE_REACH_M = 0.035  # about an eyeball's middle
_HAIR_LINES = 1000  # pictures of fewer lines are drawn finer where there is hair
_ALL_STRANDS_FROM, _EVERY = 600, 3  # pictures of fewer lines show every third strand, thicker
_SOFTBOX = 0.22  # lamps have a size: no mirror, and no eye, is sharper than this roughness makes them
_PLAIN = {"albedo": (0.72, 0.72, 0.72), "roughness": (0.55,), "specular": (0.35,)}


class Sitter:
    """A head ready to be pictured. The frame comes from the neutral, so all its pictures align.

    Args:
        head: What is pictured.
        smoothing: Pictures are rendered at this multiple of their size, then averaged.
    """

    def __init__(self, head: Head, smoothing: int = 1) -> None:
        self.head = head = creased(head)
        self.smoothing = smoothing
        self._last_hair: tuple[Lights, int, _Hair] | None = None
        # A repeated last index gives triangles without area, which see nothing and cost time.
        whole = head.triangles[:, 1] != head.triangles[:, 2]
        kind = per_triangle(head.part)[whole]
        # Shadows are those of vertices, and ends of large teeth lie behind lips, eyes' edges behind lids.
        self._mesh = halved(
            torch.from_numpy(head.triangles[whole]).long(),
            torch.from_numpy(head.triangle_uv[whole]),
            torch.from_numpy(kind != SKIN),
            torch.from_numpy(head.vertices),
            _INNER_EDGE_M,
        )
        self.triangles, self.triangle_uv = self._mesh.triangles, self._mesh.uv
        eyes = np.unique(head.triangles[whole][kind == EYE])
        sides = np.sign(head.vertices[eyes, 0])
        self._eyes = [torch.from_numpy(eyes[sides == side]) for side in (-1, 1) if (sides == side).any()]

    @cached_property
    def _frame(self) -> tuple[tuple[float, float, float], float]:
        points = self.head.vertices
        if self.head.strands is not None:
            points = np.concatenate([points, self.head.strands.points.reshape(-1, 3)])
        low, high = points.min(0), points.max(0)
        centre = (low + high) / 2
        # Azimuths turn about this point, so the depth may not leave the frame either.
        return (0.0, float(centre[1]), float(centre[2])), float(MARGIN * (high - low).max())

    def cameras(self, azimuths_deg: Sequence[float], elevation_deg: float = 0.0) -> Cameras:
        """One camera an azimuth, framing the whole head."""
        target, height = self._frame
        distance = float(distance_for(FOV_DEG, height))
        return orbit(torch.tensor(list(azimuths_deg)), elevation_deg, distance, FOV_DEG, target)

    def vertices(self, expression: str = "neutral") -> Tensor:
        """(V', 3) float32 of `triangles`; the head's own come first."""
        return self._mesh.vertices(torch.from_numpy(np.ascontiguousarray(self.head.posed(expression))))

    @torch.no_grad()
    def shaded(
        self, expression: str, azimuths_deg: Sequence[float], lights: Lights, size: int
    ) -> NDArray[np.uint8]:
        """(N, size, size, 3) uint8 sRGB pictures with the head's maps, self-shadowed."""
        vertices = self.vertices(expression)
        cameras = self.cameras(azimuths_deg)
        arriving = self._arriving(vertices, lights)
        pixels = size * self.smoothing
        hair = self._hair(lights, pixels)
        if hair is not None:
            arriving = arriving * hair.shadow(vertices)
        kinds = [*_PLAIN, "normal"] if "normal" in self.head.textures else [*_PLAIN]
        maps = {kind: self._map(kind, expression, pixels) for kind in kinds}
        pictures = [
            self._shade_one(vertices, cameras[index : index + 1], maps, arriving, lights, pixels)
            for index in range(len(cameras))
        ]
        if hair is not None:
            strands = hair.posed(expression)
            pictures = [hair.over(p, strands, vertices, cameras[i : i + 1]) for i, p in enumerate(pictures)]
        return self._finish(torch.cat(pictures))

    def _arriving(self, vertices: Tensor, lights: Lights) -> Tensor:
        """(V', 1 + lamps) shares of the sky and of each lamp; what lids do to eyes needs a closer look."""

        def reaching(vertices: Tensor, triangles: Tensor) -> Tensor:
            sky = ambient_occlusion(vertices, triangles, directions=40)
            if not lights.directions.shape[1]:
                return sky
            return torch.cat([sky, soft_shadows(vertices, triangles, lights.directions[0], samples=8)], 1)

        arriving = reaching(vertices, self.triangles)
        for eye in self._eyes:
            centre = vertices[eye].mean(dim=0)
            arriving = closer(reaching, arriving, vertices, self.triangles, centre, _EYE_REACH_M)
        return arriving

    def _hair(self, lights: Lights, pixels: int) -> _Hair | None:
        """How the strands are drawn, kept for the next picture under the same light."""
        if self.head.strands is None:
            return None
        if self._last_hair is None or self._last_hair[0] is not lights or self._last_hair[1] != pixels:
            self._last_hair = (lights, pixels, _Hair(self.head, self.triangles, lights, pixels))
        return self._last_hair[2]

    def _shade_one(
        self,
        vertices: Tensor,
        camera: Cameras,
        maps: dict[str, Tensor],
        arriving: Tensor,
        lights: Lights,
        pixels: int,
    ) -> Tensor:
        """(1, 3, pixels, pixels) sRGB over the backdrop. Only covered pixels are shaded: it is dear."""
        surface = see(vertices, self.triangles, camera, (pixels, pixels), self.triangle_uv)
        assert surface.uv is not None
        fragments = surface.fragments

        def covered(image: Tensor) -> Tensor:
            return image.flatten(2)[:, :, None, fragments.covered]

        normal = surface.normal
        if "normal" in maps:
            bumps = sample_texture(maps["normal"], surface.uv)[0]
            normal = decode(bumps, vertices, self.triangles, self.triangle_uv, fragments)[None]
        uv = covered(surface.uv)
        share = covered(interpolate(arriving, self.triangles, fragments))
        albedo = srgb_to_linear(sample_texture(maps["albedo"], uv))
        linear = shade(
            albedo,
            covered(normal),
            covered(surface.position),
            sample_texture(maps["roughness"], uv).clamp(min=_SOFTBOX),
            sample_texture(maps["specular"], uv),
            surface.camera_position,
            lights,
            occlusion=interreflected(share[:, :1], albedo),
            visible=share[:, 1:],
            wrap=_SKIN_WRAP,
        )
        image = fragments.spread(linear_to_srgb(linear.clamp(0, 1))[0, :, 0].T)
        return surface.finish(torch.where(surface.mask > 0, image, backdrop(pixels)))

    @torch.no_grad()
    def normals(self, expression: str, azimuths_deg: Sequence[float], size: int) -> NDArray[np.uint8]:
        """(N, size, size, 3) uint8 camera-space normals on black."""
        big = (size * self.smoothing,) * 2
        image, _ = render_normals(self.vertices(expression), self.triangles, self.cameras(azimuths_deg), big)
        return self._finish(image)

    def _map(self, kind: str, expression: str, pixels: int) -> Tensor:
        """(C, T, T) float32, no finer than the picture needs; plain where the head has no such map."""
        image = self.head.map_for(kind, expression)
        if image is None:
            return torch.tensor(_PLAIN[kind]).reshape(-1, 1, 1).expand(-1, 2, 2)
        planes = image[..., None] if image.ndim == 2 else image
        texels = torch.from_numpy(np.ascontiguousarray(planes)).permute(2, 0, 1).float() / 255
        # The face takes about half of the map's width and of the picture's: sampled finer, it sparkles.
        coarser = max(1, round(texels.shape[-1] / (2 * pixels)))
        return functional.avg_pool2d(texels, coarser)

    def _finish(self, images: Tensor) -> NDArray[np.uint8]:
        small = functional.avg_pool2d(images.clamp(0, 1), self.smoothing)
        return to_uint8(small.permute(0, 2, 3, 1).numpy())


class _Hair:
    """A head's strands under one light, for pictures of one size.

    What light gets through the hair is found on the neutral, for all expressions: it hardly differs.
    """

    def __init__(self, head: Head, triangles: Tensor, lights: Lights, pixels: int) -> None:
        strands = head.strands
        assert strands is not None
        self._head, self._triangles, self._lights, self._pixels = head, triangles, lights, pixels
        self._finer = max(1, min(4, round(_HAIR_LINES / pixels)))
        taper = np.linspace(1, TIP, strands.points.shape[1], dtype=np.float32)
        hair = Hair(
            torch.from_numpy(strands.points),
            torch.from_numpy(strands.radius[:, None] * taper),
            torch.from_numpy(strands.colour),
        )
        self._shade = HairShade(hair)
        self._every = _EVERY if pixels < _ALL_STRANDS_FROM else 1
        self._neutral = hair.thinned(self._every)
        low, high = head.vertices.min(0), head.vertices.max(0)
        # The neck's foot and the middle of the skull, about 95 mm below the crown.
        foot = torch.from_numpy(0.5 * (low + high) + np.array([0, 0.005, 0], np.float32))
        skull = foot.clone()
        foot[2], skull[2] = float(low[2]), float(high[2]) - 0.095
        self._normal = outward(self._neutral.points.reshape(-1, 3), foot, skull)
        self._arriving = lit(self._neutral, self._normal, self._shade, lights)

    def posed(self, expression: str) -> Hair:
        """The strands that are drawn, in an expression."""
        points = self._head.posed_strands(expression)[:: self._every]
        return replace(self._neutral, points=torch.from_numpy(np.ascontiguousarray(points)))

    def shadow(self, vertices: Tensor) -> Tensor:
        """(V, 1 + D) share of the sky and of each lamp that gets through the hair to the skin."""
        normal = vertex_normals(vertices, self._triangles)
        sky = self._shade.through(vertices, normal).sqrt()
        lamps = [self._shade.through(vertices, towards) for towards in self._lights.directions[0]]
        return torch.stack([sky, *lamps], 1)

    def over(self, picture: Tensor, hair: Hair, vertices: Tensor, camera: Cameras) -> Tensor:
        """(1, 3, P, P): the picture with the hair on it."""
        colour = shade_strands(hair, self._normal, self._arriving, self._lights, camera.position[0])
        drawn = draw(hair, colour, vertices, self._triangles, camera, self._pixels, self._finer)
        return picture * (1 - drawn[:, 3:]) + drawn[:, :3]


def backdrop(size: int) -> Tensor:
    """(1, 3, size, size) soft grey, lighter behind the head."""
    line = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(line, line, indexing="ij")
    grey = 0.80 - 0.13 * (x.square() + (y + 0.2).square()).clamp(max=2) / 2
    return torch.stack([grey, grey * 1.004, grey * 1.012])[None]
