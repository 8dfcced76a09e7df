from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from id3d_engine.job import Job
from id3d_engine.priors.training.curves import Curve
from id3d_engine.priors.training.parallel import start_processes
from id3d_engine.priors.training.shards import decode_pngs
from id3d_engine.priors.training.vae import (
    VaeTraining,
    edge_error,
    random_crops,
    reconstruction_psnr,
    train_vae,
    warm_cosine,
)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def pngs() -> list[bytes]:
    """Red tells the row, green the column, blue the picture."""
    y, x = np.mgrid[:48, :48]
    return [png(np.stack([y, x, np.full_like(y, 100 + k)], -1).astype(np.uint8)) for k in range(3)]


def test_crops_are_pieces_of_the_pictures(pngs) -> None:
    crops = random_crops(pngs, 200, 16, torch.Generator().manual_seed(0)) * 255
    assert crops.shape == (200, 3, 16, 16)
    top, left, picture = crops[:, 0, 0, 0].round(), crops[:, 1, 0, 0].round(), crops[:, 2, 0, 0].round()
    assert set(picture.tolist()) == {100, 101, 102}
    inside = torch.arange(16.0)
    assert torch.allclose(crops[:, 0], (top[:, None] + inside)[:, :, None].expand(-1, -1, 16), atol=1e-3)
    assert torch.allclose(crops[:, 1], (left[:, None] + inside)[:, None].expand(-1, 16, -1), atol=1e-3)
    assert top.min() < 6 and top.max() > 26 and top.max() <= 32
    assert 13 < float(top.mean()) < 19  # the middle


def test_small_pictures_are_taken_whole(pngs) -> None:
    crops = random_crops(pngs, 4, 128, torch.Generator().manual_seed(0))
    assert crops.shape == (4, 3, 48, 48)
    assert torch.equal(crops[:, :2], decode_pngs(pngs[:1])[:, :2].expand(4, -1, -1, -1))


def test_edges_count_differences_and_no_offset() -> None:
    target = torch.rand(2, 3, 8, 8)
    assert float(edge_error(target + 0.25, target)) == pytest.approx(0, abs=1e-6)
    ramp = torch.arange(8.0).expand(2, 3, 8, 8) * 0.5
    assert float(edge_error(target + ramp, target)) == pytest.approx(0.5, abs=1e-5)


def test_the_rate_warms_up_and_falls_to_a_twentieth() -> None:
    assert [warm_cosine(s, 100, 10) for s in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert warm_cosine(10, 100, 10) == pytest.approx(1.0)
    assert warm_cosine(55, 100, 10) == pytest.approx(0.525)
    assert warm_cosine(100, 100, 10) == pytest.approx(0.05)


def test_psnr_of_a_known_error(base, monkeypatch) -> None:
    images = torch.rand(2, 3, 64, 64) * 0.5 + 0.25
    wrong = type("Decoded", (), {"sample": (images + 0.1) * 2 - 1})
    monkeypatch.setattr(base.vae, "decode", lambda latents: wrong)
    assert reconstruction_psnr(base.vae, images) == pytest.approx(-20 * math.log10(0.1), abs=1e-3)


def test_it_learns_to_reconstruct(base, pngs, tmp_path: Path) -> None:
    config = VaeTraining(steps=45, batch=2, crop=32, learning_rate=1e-2)
    curve = Curve(tmp_path / "vae.jsonl", every=15)
    train_vae(base.vae, pngs, config, Job(), start_processes("no"), curve)
    lines = [json.loads(line) for line in (tmp_path / "vae.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [15, 30, 45]
    assert lines[-1]["error"] < 0.75 * lines[0]["error"]
    assert curve.last() == lines[-1]
