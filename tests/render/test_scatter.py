"""The torch visibility against the CPU kernel: the same picture, pixel for pixel but for ties."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from id3d_engine.render import scatter
from id3d_engine.render.cameras import sample_cameras
from id3d_engine.render.visibility import visibility
from id3d_engine.template import load_template


def head(count: int) -> tuple[Tensor, Tensor]:
    template = load_template()
    cameras = sample_cameras(count, torch.Generator().manual_seed(0))
    return cameras.clip(torch.from_numpy(template.vertices).float()), torch.from_numpy(template.triangles)


@pytest.mark.parametrize("size", [(128, 128), (97, 130)])
def test_a_head_from_many_sides(size: tuple[int, int]) -> None:
    clip, triangles = head(3)
    seen = visibility(clip, triangles, size, "cpu")
    assert (seen >= 0).float().mean() > 0.2
    found = visibility(clip, triangles, size, "torch")
    # On an edge that two triangles share, rounding may give a pixel to either.
    differs = found != seen
    assert differs.sum() <= 2
    for ours, theirs in zip(found[differs].tolist(), seen[differs].tolist(), strict=True):
        assert len(set(triangles[ours].tolist()) & set(triangles[theirs].tolist())) == 2


@pytest.mark.parametrize("seed", range(5))
def test_triangles_across_the_eye_and_broken_ones(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    clip, triangles = torch.randn(2, 30, 4, generator=g), torch.randint(30, (40, 3), generator=g)
    clip[0, 0], clip[1, 3, 2] = torch.nan, torch.inf
    seen = visibility(clip, triangles, (33, 40), "cpu")
    assert (seen >= 0).any()
    assert torch.equal(visibility(clip, triangles, (33, 40), "torch"), seen)


def test_candidates_in_many_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, triangles = head(1)
    whole = visibility(clip, triangles, (64, 64), "torch")
    monkeypatch.setattr(scatter, "CANDIDATES", 1000)
    assert torch.equal(visibility(clip, triangles, (64, 64), "torch"), whole)


def test_equal_depths_go_to_the_lower_index_and_shared_edges_to_one_triangle() -> None:
    corners = torch.tensor([[-1.0, -1, 0, 1], [1, -1, 0, 1], [1, 1, 0, 1], [-1, 1, 0, 1]])[None]
    twice = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 1, 2]])
    seen = visibility(corners, twice, (8, 8), "torch")
    assert torch.equal(seen.unique(), torch.tensor([0, 1], dtype=torch.int32))
    assert torch.equal(seen, visibility(corners, twice, (8, 8), "cpu"))


@pytest.mark.gpu
def test_on_a_gpu_the_picture_is_the_same() -> None:
    clip, triangles = head(3)
    on_gpu = visibility(clip.cuda(), triangles.cuda(), (256, 256), "torch").cpu()
    assert torch.equal(on_gpu, visibility(clip, triangles, (256, 256), "cpu"))
