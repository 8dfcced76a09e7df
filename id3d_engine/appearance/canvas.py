"""What is painted on: the start material, the residual field, and both as any view sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..render.raster import sample_texture
from ..template import SKIN, HeadTemplate
from .atlas import Atlas, make_atlas
from .eyes import compose, skin_texels, tint_residual, tint_weights
from .maps import Material, pack
from .pseudo_albedo import Views
from .psi_a import ALBEDO, PsiA, PsiAConfig, SurfacePoints, apply_residual
from .regularisers import MirrorPairs, mirror_pairs, surface_prior

_NEWTON_STEPS = 3
_NOT_TONE = ("brows", "eye_sockets", "eyelids", "ears", "lips")


@dataclass(frozen=True, eq=False)
class _Places:
    """Of one grid: the skin's points and numbers, every texel's shares of the tints and the tone."""

    points: SurfacePoints
    skin: Tensor
    tint: Tensor
    tone: Tensor
    start: Tensor


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
        keep_tone: Leave the skin's mean colour as the start has it.
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
        *,
        keep_tone: bool = False,
    ) -> None:
        super().__init__()
        self.template, self.grid, self.keep_tone = template, grid, keep_tone
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
        painted = self.psi(places.points, row)
        if self.keep_tone:
            painted = painted - nn.functional.pad(_shift(painted[:, places.tone], places.start), (0, 2))
        return compose(painted, self.psi.tints, places.tint, places.skin)

    def tint_residual(self, atlas: Atlas) -> Tensor:
        """(N, 5) residual of an atlas's eye and mouth texels; 0 on skin."""
        return tint_residual(self.psi.tints, tint_weights(self.template, atlas).to(self.start.device))

    def _place(self, grid: int) -> _Places:
        atlas, device = make_atlas(self.template, grid), self.start.device
        skin = skin_texels(atlas)
        tone = tone_texels(self.template, atlas)[skin].nonzero().squeeze(1)
        start = nn.functional.interpolate(self.start[None], (grid, grid), mode="area")[0]
        return _Places(
            SurfacePoints(atlas.points.vertices[skin].to(device), atlas.points.weights[skin].to(device)),
            skin.to(device),
            tint_weights(self.template, atlas).to(device),
            tone.to(device),
            atlas.gather(start)[skin][tone],
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


def _shift(residual: Tensor, start: Tensor) -> Tensor:
    """(B, 1, 3) to take from (B, T, 5) residuals, so that (T, 5) start keeps its mean albedo; by Newton."""
    kept = start[:, ALBEDO].mean(dim=0)
    shift = residual.new_zeros(len(residual), 1, 3)
    for _ in range(_NEWTON_STEPS):
        albedo = apply_residual(start, residual - nn.functional.pad(shift, (0, 2)))[..., ALBEDO]
        slope = (albedo * (1 - albedo)).mean(dim=1, keepdim=True)
        shift = shift + (albedo.mean(dim=1, keepdim=True) - kept) / slope.clamp_min(1e-3)
    return shift


def tone_texels(template: HeadTemplate, atlas: Atlas) -> Tensor:
    """(N,) bool: covered texels of forehead, nose and cheeks, where `identity.colours` measures skin."""
    across = {name: torch.from_numpy(template.regions[name]) for name in ("face", *_NOT_TONE)}
    weight = atlas.points.interpolate(torch.stack([*across.values()], dim=1))
    height = atlas.points.interpolate(torch.from_numpy(template.vertices[:, 2:]))[:, 0]
    above_mouth = height > float(template.vertices[template.landmarks["nose_tip"], 2])
    skin = torch.from_numpy(np.asarray(atlas.part == SKIN))
    return skin & above_mouth & (weight[:, 0] > 0.5) & (weight[:, 1:] < 0.1).all(dim=1)


def _sample(texture: Tensor, uv: Tensor) -> Tensor:
    """(C, T, T) at (P, 2) UVs -> (P, C), bilinear."""
    return sample_texture(texture, uv.T[None, :, :, None])[0, :, :, 0].T
