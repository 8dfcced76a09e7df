"""One public-domain portrait, and the encoder loaded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from id3d_engine.identity import load_encoder, load_photo
from id3d_engine.identity.dlib_encoder import DlibEncoder

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"


@pytest.fixture(scope="session")
def portrait_path() -> Path:
    return PORTRAIT


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    return load_photo(PORTRAIT)


@pytest.fixture(scope="session")
def portrait_image(portrait) -> Image.Image:
    return Image.fromarray(portrait)


@pytest.fixture(scope="session")
def dlib_encoder() -> DlibEncoder:
    encoder = load_encoder("dlib")
    assert isinstance(encoder, DlibEncoder)
    return encoder


@pytest.fixture(scope="session")
def group_photo() -> Path:
    """insightface's own group photo of six people, read where it lies."""
    insightface = pytest.importorskip("insightface")
    path = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    if not path.is_file():
        pytest.skip("this insightface carries no t1.jpg")
    return path
