"""What is painted on: the start material, the residual field, and both as any view sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..render.raster import sample_texture
from ..template import HeadTemplate
from .atlas import Atlas, make_atlas
from .eyes import compose, skin_texels, tint_residual, tint_weights
from .maps import Material, pack
from .pseudo_albedo import Views
from .psi_a import PsiA, PsiAConfig, SurfacePoints, apply_residual
from .regularisers import MirrorPairs, mirror_pairs, surface_prior


@dataclass(frozen=True, eq=False)
class _Places:
    """Of one grid: the skin's points and numbers, and every texel's shares of the tints."""

    points: SurfacePoints
    skin: Tensor
    tint: Tensor


class Canvas(nn.Module):
    """`Psi_a` on a texel grid over a start appearance.

    Args:
        template: The topology; charts, regions and rest positions are read.
        start: Textures at any size.
        rows: Map sets, K: 1 for one set that all expressions wear, or 1 + the expressions.
        grid: Texels a side at which the residual is evaluated while painting.
        view_size: Pixels a side of the views; the start is filtered to about their resolution.
        generator: Draws the initial weights.
        device: Where painting happens.
    """

    start: Tensor
    start_grid: Tensor
    expected: Tensor

    def __init__(
        self,
        template: HeadTemplate,
        start: Material,
        rows: int,
        grid: int,
        view_size: int,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        config: PsiAConfig | None = None,
    ) -> None:
        super().__init__()
        self.template, self.grid = template, grid
        self.psi = PsiA(template, rows, generator, config)
        atlas = make_atlas(template, grid)
        self.mirror: MirrorPairs = mirror_pairs(template, atlas)
        # A head fills a view with about half of its chart, so a texel of this size is a pixel or less.
        shown = min(len(np.asarray(start.roughness)), 2 ** round(np.log2(4 * view_size)))
        self.register_buffer("start", pack(start, shown), persistent=False)
        self.register_buffer("start_grid", atlas.gather(pack(start, grid)), persistent=False)
        self.register_buffer("expected", surface_prior(template, atlas), persistent=False)
        self.to(device)
        self._places = self._place(grid)

    def residual(self, row: Tensor, grid: int | None = None) -> Tensor:
        """(B,) rows -> (B, N, 5) residuals of the covered texels of a grid (the painting one if None)."""
        known = grid in (None, self.grid) and self._places.skin.device == self.start.device
        places = self._places if known else self._place(grid or self.grid)
        return compose(self.psi(places.points, row), self.psi.tints, places.tint, places.skin)

    def tint_residual(self, atlas: Atlas) -> Tensor:
        """(N, 5) residual of an atlas's eye and mouth texels; 0 on skin."""
        return tint_residual(self.psi.tints, tint_weights(self.template, atlas).to(self.start.device))

    def _place(self, grid: int) -> _Places:
        atlas, device = make_atlas(self.template, grid), self.start.device
        skin = skin_texels(atlas)
        return _Places(
            SurfacePoints(atlas.points.vertices[skin].to(device), atlas.points.weights[skin].to(device)),
            skin.to(device),
            tint_weights(self.template, atlas).to(device),
        )

    def residual_image(self, residual: Tensor) -> Tensor:
        """(B, N, 5) at the painting grid -> (B, 5, grid, grid), dilated."""
        return make_atlas(self.template, self.grid).image(residual)

    def start_pixels(self, views: Views) -> Tensor:
        """(P, 5): the start as the views see it; constant while their round lasts."""
        with torch.no_grad():
            return _sample(self.start, views.uv)

    def material(self, residual: Tensor, views: Views, start_pixels: Tensor) -> Tensor:
        """(R, N, 5) residuals of R rows -> (P, 5) material at the views' covered pixels.

        Args:
            residual: Of rows in the order that `views.row` counts in.
        """
        image = self.residual_image(residual)
        if len(image) == 1:
            return apply_residual(start_pixels, _sample(image[0], views.uv))
        row = views.row[views.view]
        moved = torch.zeros_like(start_pixels)
        for k in range(len(image)):
            here = (row == k).nonzero().squeeze(1)
            moved = moved.index_add(0, here, _sample(image[k], views.uv[here]))
        return apply_residual(start_pixels, moved)

    def grid_material(self, residual: Tensor) -> Tensor:
        """(R, N, 5) residuals -> (R, N, 5) material of the covered texels."""
        return apply_residual(self.start_grid, residual)


def _sample(texture: Tensor, uv: Tensor) -> Tensor:
    """(C, T, T) at (P, 2) UVs -> (P, C), bilinear."""
    return sample_texture(texture, uv.T[None, :, :, None])[0, :, :, 0].T
