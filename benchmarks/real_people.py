"""Real photographs: do the heads of seven people resemble their own photographs most?

    python benchmarks/real_people.py --out runs/people [--preset draft] [--prior starter] [--judge FILE]

The people: Eileen Collins in scikit-image's astronaut picture, and the six faces of insightface's
t1.jpg, both used where their packages installed them and never copied. Each face is embedded, a head
is generated from the embedding, and pictures of the head are compared with all seven photographs, by the
recogniser that guides and, with --judge, by a second one (see `id3d_engine/yardstick/likeness.py`).
`--out/people.png` shows photographs and heads side by side.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from id3d_engine.generate import generate
from id3d_engine.head import Head
from id3d_engine.identity.dlib_encoder import DlibEncoder
from id3d_engine.identity.faces import Face
from id3d_engine.identity.identify import identity_of
from id3d_engine.portrait import Sitter
from id3d_engine.render.lights import preset as light_preset
from id3d_engine.yardstick.likeness import FaceRes, embedded, pictures, places, seen

CELL_PX = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--prior", default="starter")
    parser.add_argument("--judge", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    encoder, judge = DlibEncoder(), FaceRes(options.judge) if options.judge else None
    faces = [(photo, face) for photo in photographs() for face in encoder.faces(photo)]
    people = [identity_of(photo, face, encoder) for photo, face in faces]
    inputs = np.array([person.embedding for person in people])
    shots, rows = [], []
    for index, (photo, face) in enumerate(faces):
        folder = options.out / f"person{index}.head"
        if not folder.exists():
            generate(identity=people[index], out=folder, prior=options.prior, preset=options.preset)
        head = Head.read(folder)
        shots.append(pictures(head))
        views = Sitter(head, 2).shaded("neutral", [0.0, 40.0], light_preset("studio"), CELL_PX)
        rows.append(np.concatenate([crop(photo, face), *views], axis=0))
    Image.fromarray(np.concatenate(rows, axis=1)).save(options.out / "people.png")
    nobody = np.full(encoder.dimensions, np.nan)
    found = [embedded(shot, encoder) for shot in shots]
    tell("the guide", np.array([nobody if one is None else one for one in found]), inputs)
    if judge is not None:
        true = [judge.look(photo, face) for photo, face in faces]
        told = [seen(shot, encoder, judge) for shot in shots]
        nobody = np.full(len(true[0].descriptor), np.nan)
        tell(
            "the judge",
            np.array([nobody if one is None else one.descriptor for one in told]),
            np.array([one.descriptor for one in true]),
        )
        for name, ones in (("photographs", true), ("heads", told)):
            print(
                f"{name:12}", *(f"{one.male:.2f} male, {one.age:.0f};" if one else "no face;" for one in ones)
            )


def tell(who: str, heads: NDArray[np.floating], people: NDArray[np.floating]) -> None:
    """How many heads are nearest to their own photograph."""
    found, count = places(heads, people), len(people)
    right = {name: int(sum(row[name] for row in found)) for name in ("rank1", "rank1_centred")}
    own, others = (np.nanmean([row[name] for row in found]) for name in ("own", "others"))
    print(
        f"{who}: {right['rank1']} of {count} nearest to their own photograph, {right['rank1_centred']} with "
        f"means taken away; own distance {own:.2f}, others {others:.2f}"
    )


def photographs() -> list[NDArray[np.uint8]]:
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
