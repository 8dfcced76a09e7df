"""The difference between photographs and renders, on the example portrait and made-up renders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from id3d_engine.errors import InputError
from id3d_engine.identity.dlib_encoder import DlibEncoder
from id3d_engine.priors.photo_gap import FEWEST, photo_embeddings, photo_gap, with_photo_gap
from id3d_engine.priors.shards import Samples

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"


def renders(rng: np.random.Generator) -> Samples:
    """Three subjects, one with two views, two photos each."""
    subjects = [0, 0, 1, 2]
    rows = [rng.normal(size=(2, 128)).astype(np.float32) for _ in subjects]
    rows[1] = rows[0]
    return Samples([b""] * 4, [b""] * 4, rows, [{"subject": s} for s in subjects])


def test_every_embedding_is_seen_as_render_and_as_photograph() -> None:
    rng = np.random.default_rng(0)
    samples = renders(rng)
    moved = np.stack([samples.identity[i].mean(0) for i in (0, 2, 3)]) + 0.25
    gap = photo_gap(moved, samples)
    np.testing.assert_allclose(gap, 0.25, atol=1e-5)  # a subject counts once, however many its views
    both = with_photo_gap(samples, gap)
    for before, after in zip(samples.identity, both.identity, strict=True):
        np.testing.assert_array_equal(after[:2], before)
        np.testing.assert_allclose(after[2:], before + 0.25, atol=1e-5)


def test_every_face_of_the_folder_counts(tmp_path: Path) -> None:
    one = np.asarray(Image.open(PORTRAIT).convert("RGB").resize((256, 256)))
    for index in range(FEWEST // 2):
        two = np.concatenate([one, np.clip(one.astype(int) + 5 * index, 0, 255).astype(np.uint8)], axis=1)
        Image.fromarray(two).save(tmp_path / f"{index}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert photo_embeddings(tmp_path, DlibEncoder()).shape == (FEWEST, 128)


def test_too_few_faces(tmp_path: Path) -> None:
    Image.open(PORTRAIT).save(tmp_path / "one.jpg")
    with pytest.raises(InputError, match=r"shows \d face\(s\), too few"):
        photo_embeddings(tmp_path, DlibEncoder())
    with pytest.raises(InputError, match="there is no folder"):
        photo_embeddings(tmp_path / "nowhere", DlibEncoder())
