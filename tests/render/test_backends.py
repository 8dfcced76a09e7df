"""Other ways to see than the CPU reference: pixels and gradients of a head's normals.

nvdiffrast rounds vertices to a sixteenth of a pixel, so along edges its pixels may belong to a neighbouring
triangle. Where the triangle is the same, all else is computed alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from id3d_engine.render import raster
from id3d_engine.render.cameras import sample_cameras
from id3d_engine.render.normals import render_normals
from id3d_engine.render.visibility import visibility
from id3d_engine.template import load_template

PX = 256


@dataclass(frozen=True, eq=False)
class Seen:
    """Normals (3, 3, PX, PX), masks, triangles by pixel, and the gradient of a fixed weighting, (V, 3)."""

    normals: Tensor
    masks: Tensor
    ids: Tensor
    pull: Tensor

    @classmethod
    def on(cls, device: str) -> Seen:
        template = load_template()
        vertices = torch.from_numpy(template.vertices).float().to(device).requires_grad_()
        cameras = sample_cameras(3, torch.Generator().manual_seed(0)).to(device)
        triangles = torch.from_numpy(template.triangles).to(device)
        normals, masks = render_normals(vertices, triangles, cameras, (PX, PX))
        weights = torch.rand(3, 3, PX, PX, generator=torch.Generator().manual_seed(1)).to(device)
        ((normals * weights).sum() + (masks * weights[:, :1]).sum()).backward()
        ids = raster.visibility(cameras.clip(vertices.detach()), triangles, (PX, PX))
        return cls(normals.detach().cpu(), masks.detach().cpu(), ids.cpu(), vertices.grad.cpu())

    def agrees_with(self, truth: Seen) -> None:
        """Inside the outline: pixels of the same triangle within 1e-4, and of others at most 1 %."""
        inside = functional.max_pool2d(-truth.masks, 5, stride=1, padding=2) == -1
        same = (self.ids == truth.ids)[:, None]
        assert (inside & ~same).sum() <= 1e-2 * inside.sum()
        wrong = (self.normals - truth.normals).abs().amax(dim=1, keepdim=True) > 1e-4
        # Antialiasing at creases mixes in the neighbours, which may be others.
        assert (wrong & inside & same).sum() <= 5e-4 * inside.sum()
        assert (self.masks - truth.masks).abs().mean() < 1e-3
        assert functional.cosine_similarity(self.pull.flatten(), truth.pull.flatten(), dim=0) > 0.99


def test_vertices_rounded_as_nvdiffrast_does_show_the_same_head(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = Seen.on("cpu")

    def rounded(clip: Tensor, triangles: Tensor, size: tuple[int, int], backend: str = "auto") -> Tensor:
        height, width = size
        pixels = torch.tensor([width / 2, height / 2], dtype=torch.float64)
        moved = clip.detach().double()
        w = moved[..., 3:]
        places = (moved[..., :2] / w * pixels * 16).round() / 16
        moved = torch.cat([places / pixels * w, moved[..., 2:]], dim=-1)
        return visibility(moved.to(clip.dtype), triangles, size, backend)

    monkeypatch.setattr(raster, "visibility", rounded)
    other = Seen.on("cpu")
    assert (other.ids != truth.ids).any()
    other.agrees_with(truth)


@pytest.mark.gpu
@pytest.mark.parametrize("way", ["nvdiffrast", "torch"])
def test_pixels_and_gradients_are_the_cpus(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "nvdiffrast":
        pytest.importorskip("nvdiffrast")
    else:
        monkeypatch.setattr("id3d_engine.render.visibility._nvdiffrast_installed", lambda: False)
    Seen.on("cuda").agrees_with(Seen.on("cpu"))
