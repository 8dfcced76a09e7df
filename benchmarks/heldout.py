"""Held-out subjects: what the whole method makes of people that no prior has seen.

    python benchmarks/heldout.py --out runs/heldout [--subjects 20] [--preset draft] [--prior starter]
                                 [--dataset FOLDER]

Every subject is a synthetic head from a seed kept for testing. One photo-like render of it is
embedded; the head is generated from that embedding alone; then it is measured against the truth:

- surface error of the neutral after rigid alignment, face region and whole head, divided by the
  average head's, by the start head's (kernel ridge from the same embedding) and, with --dataset, by
  that of plain ridge regression on the same subjects;
- which of the 13 true expressions is nearest to each generated one;
- whether the input embedding is nearest to the renders of its own head (rank-1 among the subjects).

Heads that exist under `--out` are measured again without being generated anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from id3d_engine.assets.asset import HeadAsset
from id3d_engine.assets.photo import photo_like
from id3d_engine.assets.sampler import HELD_OUT_FIRST_SEED, sample_asset
from id3d_engine.errors import InputError
from id3d_engine.expressions import EXPRESSION_NAMES
from id3d_engine.generate import generate
from id3d_engine.geometry.mesh_quality import surface_error
from id3d_engine.head import Head
from id3d_engine.identity import Identity
from id3d_engine.identity.dlib_encoder import DlibEncoder
from id3d_engine.job import Job
from id3d_engine.portrait import Sitter
from id3d_engine.priors.shards import find_shards, read_shards
from id3d_engine.priors.start import find_start
from id3d_engine.priors.train import train_start
from id3d_engine.render.lights import preset as light_preset
from id3d_engine.template import HeadTemplate, load_template
from id3d_engine.topology import on_template

AVERAGE_OF = 200  # training subjects whose mean is the average head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--prior", default="starter")
    parser.add_argument("--dataset", type=Path, help="what the prior was trained on, for plain ridge")
    parser.add_argument("--start-only", action="store_true", help="measure the start head alone")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    template, encoder = load_template(), DlibEncoder()
    average = np.mean([sample_asset(template, seed).neutral for seed in range(AVERAGE_OF)], axis=0)
    plain = None
    if options.dataset is not None:
        plain = train_start(read_shards(find_shards(options.dataset)), linear=True)
    rows, inputs, outputs = [], [], []
    for index in range(options.subjects):
        asset = sample_asset(template, HELD_OUT_FIRST_SEED + index)
        embedding = first_embedding(asset, template, encoder)
        heads = {"average": average, "start": find_start(options.prior, embedding, template).neutral}
        if plain is not None:
            heads["ridge"] = plain.head(embedding, template).neutral
        if not options.start_only:
            folder = options.out / f"{index:02d}.head"
            if not folder.exists():
                generate(
                    identity=Identity(embedding, encoder.name, 1),
                    out=folder,
                    prior=options.prior,
                    preset=options.preset,
                    seed=index,
                )
            head = on_template(Head.read(folder), template)
            heads["found"] = head.vertices
            inputs.append(embedding)
            outputs.append(picture_embedding(head, encoder))
        rows.append({"subject": asset.seed, **measure(template, asset, heads)})
        if not options.start_only:
            rows[-1]["expressions"] = matching_expressions(asset, head)
        print(json.dumps(rows[-1]), flush=True)
    summary = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "subject"}
    summary |= ratios(rows)
    if outputs:
        apart = np.linalg.norm(np.array(outputs)[:, None] - np.array(inputs)[None], axis=2)
        summary["rank1"] = float(np.mean(apart.argmin(axis=1) == np.arange(len(apart))))
        summary["own_distance"] = float(np.diag(apart).mean())
        summary["other_distance"] = float(apart[~np.eye(len(apart), dtype=bool)].mean())
    (options.out / "heldout.json").write_text(json.dumps({"summary": summary, "subjects": rows}, indent=2))
    print("| figure | value |\n|---|---|")
    for key, value in summary.items():
        print(f"| {key} | {value:.4g} |")


def first_embedding(asset: HeadAsset, template: HeadTemplate, encoder: DlibEncoder) -> NDArray[np.float32]:
    """The embedding of the first photo-like render that shows the encoder a face."""
    for attempt in range(20):
        photo = photo_like(asset, template, Job(seed=asset.seed).generator("held-out", attempt))
        try:
            (face, *_) = encoder.faces(photo)
            return encoder.embed_face(photo, face)
        except (InputError, ValueError):
            continue
    raise InputError(f"no render of subject {asset.seed} shows a face")


def measure(
    template: HeadTemplate, asset: HeadAsset, heads: dict[str, NDArray[np.floating]]
) -> dict[str, float]:
    """Surface errors in millimetres of each of the heads, (V, 3), over the face and over everything."""
    regions = {"face": template.regions["face"], "head": None}
    return {
        f"{region}_{name}_mm": 1e3 * surface_error(head, asset.neutral, template.triangles, weights)
        for region, weights in regions.items()
        for name, head in heads.items()
    }


def ratios(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean error of the last kind of head over the mean error of each other kind."""
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    kinds = [key.removeprefix("face_").removesuffix("_mm") for key in mean if key.startswith("face_")]
    *others, last = kinds
    return {
        f"{region}_{last}_over_{name}": mean[f"{region}_{last}_mm"] / mean[f"{region}_{name}_mm"]
        for region in ("face", "head")
        for name in others
    }


def matching_expressions(asset: HeadAsset, head: Head) -> int:
    """How many of the 13 generated expressions have their true namesake as nearest displacement."""
    true = np.stack([asset.expression(name) for name in EXPRESSION_NAMES])
    own = np.stack([head.shape_keys[head.names.index(name)] for name in EXPRESSION_NAMES])
    apart = np.linalg.norm(own[:, None] - true[None], axis=3).mean(axis=2)
    return int((apart.argmin(axis=1) == np.arange(len(own))).sum())


def picture_embedding(head: Head, encoder: DlibEncoder) -> NDArray[np.float32]:
    """Mean embedding of the head seen from the front and from both sides of it."""
    pictures = Sitter(head).shaded("neutral", [-15.0, 0.0, 15.0], light_preset("studio"), 256)
    found = []
    for picture in pictures:
        for face in encoder.faces(picture)[:1]:
            found.append(encoder.embed_face(picture, face))
    return np.mean(found, axis=0) if found else np.zeros(encoder.dimensions, np.float32)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
