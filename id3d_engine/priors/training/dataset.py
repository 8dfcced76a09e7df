"""Training data for the priors: renders of 3D heads as WebDataset shards.

Every sample is one view of one head with one expression:

    KEY.normals.png   (S, S, 3) camera-space normals, (n + 1) / 2, black background
    KEY.albedo.png    (S, S, 3) sRGB albedo without light, black background
    KEY.identity.npy  (P, D) float32 embeddings of P photo-like renders of the same head
    KEY.measures.npy  (P, M) float16, the face's proportions in them (`identity/measures.py`)
    KEY.json          caption, expression, descriptor, strength, view, subject, attributes,
                      target (what the start regressor learns: shape and appearance numbers;
                      null where they are not known, as of scans)

A shard is written whole or not at all, and shards that exist are kept, so an interrupted build
goes on where it stopped. The same seeds give the same pixels.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ...assets.asset import HeadAsset
from ...assets.hair import with_cap
from ...assets.photo import TEXTURE_SIZE, as_scanned, head_material, photo_like
from ...assets.sampler import random_mixture, sample_asset
from ...assets.skin import author_textures
from ...errors import InputError
from ...expressions import EXPRESSIONS, NEUTRAL
from ...identity.encoders import Encoder, load_encoder
from ...identity.measures import LENGTH, measure
from ...job import Job, Listener, silent
from ...render.cameras import Cameras, sample_cameras, view_text
from ...render.normals import vertex_normals
from ...render.raster import antialias, interpolate, interpolate_corners, rasterize, sample_texture
from ...template import HeadTemplate, load_template

SPECTACLED = 0.3  # of the photo-like renders
# On half of them somebody smiles, grins or talks, as people do before cameras.
ON_PHOTOS = {"smile": 1.0, "grin": 1.0, "mouth_stretch": 0.5}
# Expressions show in close-ups, most of all in those of the mouth.
CLOSEUPS = (*[None] * 4, *["face"] * 4, *["mouth"] * 4, *["eyes"] * 3)

# A head by its seed or place; sent to worker processes, so pickle must know it.
HeadSource = Callable[[HeadTemplate, int], HeadAsset]


@dataclass(frozen=True)
class DatasetConfig:
    """What a dataset holds.

    Attributes:
        subjects: How many heads.
        first_seed: Seed of the first head; head i has seed `first_seed + i`.
        views: Samples a head, each with its own expression and camera.
        photos: Photo-like renders a head that must show a face the encoder finds.
        image_size: Pixels of the square renders.
        subjects_per_shard: Heads in one tar file.
        encoder: Who reads the photo-like renders, "dlib" or "arcface".
        source: What tells a source of heads from others; "" are those drawn from seeds.
    """

    subjects: int = 1000
    first_seed: int = 0
    views: int = 4
    photos: int = 3
    image_size: int = 256
    subjects_per_shard: int = 50
    encoder: str = "dlib"
    source: str = ""


def build_dataset(
    out: Path,
    config: DatasetConfig,
    *,
    heads: HeadSource = sample_asset,
    workers: int = 1,
    listener: Listener = silent,
    cancel: threading.Event | None = None,
) -> list[Path]:
    """Render `config.subjects` heads into shards under `out`; a dataset there may grow.

    Args:
        out: The dataset's folder, made if needed.
        config: What to render.
        heads: Gives the heads; called with `first_seed + i`.
        workers: Processes, one thread each.
        listener: Receives `Progress`, one step a shard.
        cancel: Set it to stop after the shards in work.

    Returns:
        The shards' paths, in order.

    Raises:
        InputError: `out` is a file, or holds a dataset made with other settings or more subjects.
        Cancelled: `cancel` was set; finished shards are kept.
    """
    if out.is_file():
        raise InputError(f"{out} is a file: give a folder for the dataset")
    out.mkdir(parents=True, exist_ok=True)
    claim(out, config)
    starts = range(0, config.subjects, config.subjects_per_shard)
    shards = [out / f"heads-{index:05d}.tar" for index in range(len(starts))]
    todo = [(shard, start) for shard, start in zip(shards, starts, strict=True) if not shard.exists()]
    job = Job(listener=listener, cancel=cancel)
    finished = _write_shards(todo, config, heads, workers)
    for _ in job.steps("dataset", len(todo), message="rendering heads"):
        next(finished)
    return shards


def claim(out: Path, config: DatasetConfig) -> None:
    """Write the settings beside the shards, or check that the shards there were made with the same.

    A last shard with fewer heads than there is room for now is deleted, to be made again.

    Raises:
        InputError: the settings differ, or the dataset there has more subjects.
    """
    path = out / "dataset.json"
    made: dict[str, Any] = {}
    if path.exists():
        try:
            made = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is damaged ({error}): choose another folder") from error
        made = asdict(DatasetConfig()) | made
        if any(made[k] != v for k, v in asdict(config).items() if k != "subjects"):
            raise InputError(f"{out} holds a dataset made with other settings: choose another folder")
    before = int(made.get("subjects", 0))
    if before > config.subjects:
        raise InputError(
            f"{out} was begun for {before} subjects, more than {config.subjects}: choose another folder"
        )
    full, rest = divmod(before, config.subjects_per_shard)
    if rest and before < config.subjects:
        (out / f"heads-{full:05d}.tar").unlink(missing_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(config), indent=2), encoding="utf-8")
    os.replace(temporary, path)


def _write_shards(
    todo: list[tuple[Path, int]], config: DatasetConfig, heads: HeadSource, workers: int
) -> Iterator[Path]:
    """Each shard's path when it is complete, in whatever order they are."""
    if workers <= 1:
        for shard, start in todo:
            yield write_shard(shard, config, start, heads)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)
    try:
        tasks = [pool.submit(write_shard, shard, config, start, heads) for shard, start in todo]
        for done in as_completed(tasks):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def write_shard(path: Path, config: DatasetConfig, start: int, heads: HeadSource = sample_asset) -> Path:
    """Render heads `start` .. `start + subjects_per_shard` into one tar file at `path`."""
    template, encoder = load_template(), load_encoder(config.encoder)
    temporary = path.with_suffix(".partial")
    try:
        with tarfile.open(temporary, "w") as tar:
            for index in range(start, min(start + config.subjects_per_shard, config.subjects)):
                asset = heads(template, config.first_seed + index)
                for key, files in render_subject(asset, template, encoder, config):
                    for suffix, data in files.items():
                        info = tarfile.TarInfo(f"{key}.{suffix}")
                        info.size = len(data)
                        tar.addfile(info, io.BytesIO(data))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def render_subject(
    asset: HeadAsset, template: HeadTemplate, encoder: Encoder, config: DatasetConfig
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and files of every sample of one head; none if no photo of it shows a face."""
    job = Job(seed=asset.seed)
    embeddings, measures = photographed(asset, template, encoder, job, config.photos)
    if not len(embeddings):
        return
    looks = _worn(asset, template)
    target = None
    if asset.shape is not None:
        numbers = np.concatenate([asset.shape, asset.appearance.to_vector()]).astype(float)
        target = [round(x, 4) for x in numbers]
    landmarks = {name: torch.from_numpy(asset.neutral[index]) for name, index in template.landmarks.items()}
    for view in range(config.views):
        generator = job.generator("view", view)
        closeup = CLOSEUPS[int(torch.randint(len(CLOSEUPS), (), generator=generator))]
        cameras = sample_cameras(1, generator, closeup=closeup, landmarks=landmarks)
        pick = int(torch.randint(-4, len(EXPRESSIONS), (), generator=generator))
        expression = EXPRESSIONS[pick] if pick >= 0 else NEUTRAL
        strength = 0.6 + 0.4 * float(torch.rand((), generator=generator))
        vertices, albedo = looks[view % len(looks)]
        if expression is not NEUTRAL:
            vertices = vertices + asset.expression(expression.name, strength)
        normals, albedo_view = render_normals_and_albedo(
            torch.from_numpy(vertices.astype(np.float32)), albedo, template, cameras, config.image_size
        )
        record = {
            "subject": asset.seed,
            "caption": asset.caption,
            "expression": expression.name,
            "descriptor": expression.descriptor,
            "strength": round(strength, 4),
            "view": view_text(cameras)[0],
            "attributes": asset.attributes,
            "target": target,
            "encoder": encoder.name,
        }
        yield (
            f"{asset.seed:08d}-{view:02d}",
            {
                "normals.png": _png(normals[0]),
                "albedo.png": _png(albedo_view[0]),
                "identity.npy": _npy(embeddings),
                "measures.npy": _npy(measures.astype(np.float16)),
                "json": json.dumps(record).encode(),
            },
        )


def _worn(asset: HeadAsset, template: HeadTemplate) -> list[tuple[NDArray[np.float32], torch.Tensor]]:
    """(V, 3) vertices and (3, T, T) albedo: with all hair on the surface, as dmtet sculpts it, and with a
    cap that strands are put on; a scan as it is."""
    looks = [(asset.neutral, head_material(asset, template)[0])]
    if asset.scanned is None:
        cap = with_cap(template, asset.skin, asset.appearance)
        painted = author_textures(template, asset.appearance, TEXTURE_SIZE, hanging=False)
        looks.append((cap, as_scanned(asset, painted.albedo_srgb)))
    return looks


def photographed(
    asset: HeadAsset, template: HeadTemplate, encoder: Encoder, job: Job, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(P, D) embeddings and (P, M) measures of up to `count` photo-like renders that show a face."""
    embeddings: list[NDArray[np.float32]] = []
    measured: list[NDArray[np.float32]] = []
    for attempt in range(count + 2):
        if len(embeddings) == count:
            break
        random = np.random.default_rng((asset.seed, attempt))
        offsets, glasses = everyday_expression(asset, random), random.random() < SPECTACLED
        photo = photo_like(
            asset, template, job.generator("photo", attempt), 256, offsets=offsets, glasses=glasses
        )
        # A head turned far enough shows the detector no face: such a photo is drawn again.
        try:
            face = encoder.quick_face(photo)
        except InputError:
            continue
        if (numbers := measure(photo, face)) is not None:
            embeddings.append(encoder.embed_face(photo, face))
            measured.append(numbers)
    return (
        np.array(embeddings, np.float32).reshape(-1, encoder.dimensions),
        np.array(measured, np.float32).reshape(-1, LENGTH),
    )


def everyday_expression(asset: HeadAsset, random: np.random.Generator) -> NDArray[np.float32]:
    """(V, 3) offsets of a face before a camera: nearly neutral, smiling, or in the middle of a word."""
    offsets = np.zeros_like(asset.neutral)
    kind = random.random()
    if kind < 0.5:
        name = str(random.choice(list(ON_PHOTOS)))
        offsets = offsets + asset.expression(name, float(random.uniform(0.2, 1.0)) * ON_PHOTOS[name])
    if kind > 0.3:
        offsets = offsets + random_mixture(asset.units, random, strength=float(random.uniform(0.1, 0.5)))
    return offsets.astype(np.float32)


def render_normals_and_albedo(
    vertices: torch.Tensor, albedo: torch.Tensor, template: HeadTemplate, cameras: Cameras, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both domains of the priors from one visibility pass.

    Args:
        vertices: (V, 3), metres.
        albedo: (3, T, T) sRGB in [0, 1].

    Returns:
        Two (B, 3, size, size) images in [0, 1], antialiased, black background.
    """
    triangles = torch.from_numpy(template.triangles)
    clip = cameras.clip(vertices)
    fragments = rasterize(clip, triangles, (size, size))
    mask = fragments.mask[:, None].to(vertices.dtype)
    world = interpolate(vertex_normals(vertices, triangles), triangles, fragments)
    camera = torch.einsum("bij,bjhw->bihw", cameras.view[:, :3, :3], world)
    camera = torch.nn.functional.normalize(camera, dim=1)
    uv = interpolate_corners(torch.from_numpy(template.triangle_uv), fragments)
    both = torch.cat([(camera + 1) / 2, sample_texture(albedo, uv)], dim=1) * mask
    both = antialias(both, fragments, clip, triangles)
    return both[:, :3], both[:, 3:]


def _one_thread() -> None:
    torch.set_num_threads(1)


def _png(image: torch.Tensor) -> bytes:
    array = (image.permute(1, 2, 0).clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _npy(array: NDArray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
