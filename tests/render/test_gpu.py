"""Both ways to see on a GPU against the CPU reference: pixels and gradients of a head's normals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from id3d_engine.render.cameras import sample_cameras
from id3d_engine.render.normals import render_normals
from id3d_engine.template import load_template

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["nvdiffrast", "torch"])
def on_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "nvdiffrast":
        pytest.importorskip("nvdiffrast")
    else:
        monkeypatch.setattr("id3d_engine.render.visibility._nvdiffrast_installed", lambda: False)


def seen(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Normals (3, 3, 256, 256), masks, and the gradient of a fixed weighting of both, (V, 3)."""
    template = load_template()
    vertices = torch.from_numpy(template.vertices).float().to(device).requires_grad_()
    cameras = sample_cameras(3, torch.Generator().manual_seed(0)).to(device)
    triangles = torch.from_numpy(template.triangles).to(device)
    normals, masks = render_normals(vertices, triangles, cameras, (256, 256))
    weights = torch.rand(3, 3, 256, 256, generator=torch.Generator().manual_seed(1)).to(device)
    ((normals * weights).sum() + (masks * weights[:, :1]).sum()).backward()
    return normals.detach().cpu(), masks.detach().cpu(), vertices.grad.cpu()


def test_pixels_and_gradients_are_the_cpus(on_gpu: None) -> None:
    (truth, covered, pull), (normals, masks, own) = seen("cpu"), seen("cuda")
    # Inside, every pixel is the same; at outlines and creases two triangles may share a pixel's centre.
    inside = functional.max_pool2d(-covered, 5, stride=1, padding=2) == -1
    wrong = ((normals - truth).abs().amax(dim=1, keepdim=True) > 1e-4) & inside
    assert wrong.sum() <= 2e-3 * inside.sum()
    assert (masks - covered).abs().mean() < 1e-3
    assert functional.cosine_similarity(own.flatten(), pull.flatten(), dim=0) > 0.99
