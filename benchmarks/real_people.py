"""Real photographs: do the heads of seven people resemble their own photographs most?

    python benchmarks/real_people.py --out runs/people [--preset draft] [--prior starter]

The people: Eileen Collins in scikit-image's astronaut picture, and the six faces of insightface's
t1.jpg, both used where their packages installed them and never copied. Each face is embedded, a head
is generated from the embedding, the head is pictured, and the picture's embedding is compared with
those of all seven photographs. `--out/people.png` shows photographs and heads side by side.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import torch
from heldout import picture_embedding
from numpy.typing import NDArray
from PIL import Image

from id3d_engine.generate import generate
from id3d_engine.head import Head
from id3d_engine.identity import Identity
from id3d_engine.identity.dlib_encoder import DlibEncoder
from id3d_engine.identity.faces import Face
from id3d_engine.portrait import Sitter
from id3d_engine.render.lights import preset as light_preset

CELL_PX = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--prior", default="starter")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    encoder = DlibEncoder()
    photos = pictures()
    faces = [(photo, face) for photo in photos for face in encoder.faces(photo)]
    inputs = [encoder.embed_face(photo, face) for photo, face in faces]
    outputs, rows = [], []
    for index, (photo, face) in enumerate(faces):
        folder = options.out / f"person{index}.head"
        if not folder.exists():
            person = Identity(inputs[index], encoder.name, 1)
            generate(identity=person, out=folder, prior=options.prior, preset=options.preset)
        head = Head.read(folder)
        outputs.append(picture_embedding(head, encoder))
        views = Sitter(head, 2).shaded("neutral", [0.0, 40.0], light_preset("studio"), CELL_PX)
        rows.append(np.concatenate([crop(photo, face), *views], axis=0))
    Image.fromarray(np.concatenate(rows, axis=1)).save(options.out / "people.png")
    apart = np.linalg.norm(np.array(outputs)[:, None] - np.array(inputs)[None], axis=2)
    right = int((apart.argmin(axis=1) == np.arange(len(apart))).sum())
    print(np.round(apart, 3))
    print(f"{right} of {len(apart)} heads are nearest to their own photograph")


def pictures() -> list[NDArray[np.uint8]]:
    """The two pictures, (H, W, 3) uint8, from the packages that carry them."""
    from skimage import data

    spec = importlib.util.find_spec("insightface")
    if spec is None or spec.origin is None:
        raise SystemExit("insightface's t1.jpg is needed: pip install insightface")
    group = Path(spec.origin).parent / "data" / "images" / "t1.jpg"
    return [data.astronaut(), np.asarray(Image.open(group).convert("RGB"))]


def crop(photo: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """A square around the face, `CELL_PX` a side."""
    left, top, right, bottom = face.box
    middle, reach = ((left + right) / 2, (top + bottom) / 2), 0.9 * max(right - left, bottom - top)
    box = (middle[0] - reach, middle[1] - reach, middle[0] + reach, middle[1] + reach)
    return np.asarray(Image.fromarray(photo).crop(tuple(round(v) for v in box)).resize((CELL_PX, CELL_PX)))


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
