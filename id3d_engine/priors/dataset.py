"""Training data for the priors: renders of 3D heads as WebDataset shards.

Every sample is one view of one head with one expression:

    KEY.normals.png   (S, S, 3) camera-space normals, (n + 1) / 2, black background
    KEY.albedo.png    (S, S, 3) sRGB albedo without light, black background
    KEY.identity.npy  (P, D) float32 embeddings of P photo-like renders of the same head
    KEY.json          caption, expression, descriptor, strength, view, subject, attributes,
                      target (what the start regressor learns: shape and appearance numbers)

A shard is written whole or not at all, and shards that exist are kept, so an interrupted build
goes on where it stopped. The same seeds give the same pixels.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..assets.asset import HeadAsset
from ..assets.photo import head_material, photo_like
from ..assets.sampler import sample_asset
from ..errors import InputError
from ..expressions import EXPRESSIONS, NEUTRAL
from ..identity.dlib_encoder import DlibEncoder
from ..job import Job, Listener, silent
from ..render.cameras import Cameras, sample_cameras, view_text
from ..render.normals import vertex_normals
from ..render.raster import antialias, interpolate, interpolate_corners, rasterize, sample_texture
from ..template import HeadTemplate, load_template

CLOSEUPS = (None, None, None, None, "face", "face", "mouth", "eyes")


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
    """

    subjects: int = 1000
    first_seed: int = 0
    views: int = 4
    photos: int = 3
    image_size: int = 256
    subjects_per_shard: int = 50


def build_dataset(
    out: Path, config: DatasetConfig, *, workers: int = 1, listener: Listener = silent
) -> list[Path]:
    """Render `config.subjects` heads into shards under `out`.

    Returns:
        The shards' paths, in order.

    Raises:
        InputError: `out` is a file, or holds a dataset made with other settings.
    """
    if out.is_file():
        raise InputError(f"{out} is a file: give a folder for the dataset")
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, config)
    starts = range(0, config.subjects, config.subjects_per_shard)
    shards = [out / f"heads-{index:05d}.tar" for index in range(len(starts))]
    todo = [(shard, start) for shard, start in zip(shards, starts, strict=True) if not shard.exists()]
    steps = iter(Job(listener=listener).steps("dataset", len(todo)))
    if workers <= 1:
        for shard, start in todo:
            next(steps)
            write_shard(shard, config, start)
    elif todo:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            futures = [pool.submit(write_shard, shard, config, start) for shard, start in todo]
            for future in as_completed(futures):
                next(steps)
                future.result()
    next(steps, None)
    return shards


def write_shard(path: Path, config: DatasetConfig, start: int) -> None:
    """Render heads `start` .. `start + subjects_per_shard` into one tar file at `path`."""
    template, encoder = load_template(), DlibEncoder()
    temporary = path.with_suffix(".partial")
    with tarfile.open(temporary, "w") as tar:
        for index in range(start, min(start + config.subjects_per_shard, config.subjects)):
            asset = sample_asset(template, config.first_seed + index)
            for key, files in render_subject(asset, template, encoder, config):
                for suffix, data in files.items():
                    info = tarfile.TarInfo(f"{key}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    os.replace(temporary, path)


def render_subject(
    asset: HeadAsset, template: HeadTemplate, encoder: DlibEncoder, config: DatasetConfig
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and files of every sample of one head; none if no photo of it shows a face."""
    job = Job(seed=asset.seed)
    embeddings = photo_embeddings(asset, template, encoder, job, config.photos)
    if not len(embeddings):
        return
    albedo, _, _ = head_material(asset, template)
    target = np.concatenate([asset.shape, asset.appearance.to_vector()]).astype(float)
    for view in range(config.views):
        generator = job.generator("view", view)
        closeup = CLOSEUPS[int(torch.randint(len(CLOSEUPS), (), generator=generator))]
        cameras = sample_cameras(1, generator, closeup=closeup, landmarks=_landmarks(template, asset.neutral))
        pick = int(torch.randint(-4, len(EXPRESSIONS), (), generator=generator))
        expression = EXPRESSIONS[pick] if pick >= 0 else NEUTRAL
        strength = 0.6 + 0.4 * float(torch.rand((), generator=generator))
        vertices = asset.neutral
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
            "target": [round(x, 4) for x in target],
        }
        yield (
            f"{asset.seed:08d}-{view:02d}",
            {
                "normals.png": _png(normals[0]),
                "albedo.png": _png(albedo_view[0]),
                "identity.npy": _npy(embeddings),
                "json": json.dumps(record).encode(),
            },
        )


def photo_embeddings(
    asset: HeadAsset, template: HeadTemplate, encoder: DlibEncoder, job: Job, count: int
) -> NDArray[np.float32]:
    """(P, D) embeddings of up to `count` photo-like renders in which the encoder found the face."""
    found = []
    for attempt in range(count + 2):
        if len(found) == count:
            break
        generator = job.generator("photo", attempt)
        photo = photo_like(asset, template, generator, size=256)
        # A head turned far enough shows the detector no face: such a photo is drawn again.
        with suppress(InputError):
            found.append(encoder.embed(photo))
    return np.array(found, np.float32).reshape(len(found), -1)


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


@dataclass(frozen=True)
class Samples:
    """A dataset in memory, N samples.

    Attributes:
        normals, albedo: (N, S, S, 3) uint8, or lists of PNG bytes when `decode` was False.
        identity: list of (P, D) float32.
        records: the JSON of each sample.
    """

    normals: list[Any]
    albedo: list[Any]
    identity: list[NDArray[np.float32]]
    records: list[dict[str, Any]]


def read_shards(shards: list[Path], *, decode: bool = False) -> Samples:
    """Read shards into memory; images stay PNG bytes unless `decode`.

    Raises:
        InputError: there is no shard, or one is not a dataset shard of this project.
    """
    if not shards:
        raise InputError("the dataset has no shards: run `id3d dataset` first or check the folder")
    samples = Samples([], [], [], [])
    for shard in shards:
        try:
            for files in _grouped(shard):
                samples.normals.append(_decode(files["normals.png"]) if decode else files["normals.png"])
                samples.albedo.append(_decode(files["albedo.png"]) if decode else files["albedo.png"])
                samples.identity.append(np.load(io.BytesIO(files["identity.npy"]), allow_pickle=False))
                samples.records.append(json.loads(files["json"]))
        except (KeyError, tarfile.TarError, ValueError) as error:
            raise InputError(
                f"{shard} is not a dataset shard ({error}): rebuild it with `id3d dataset`"
            ) from error
    return samples


def find_shards(folder: Path) -> list[Path]:
    """The shards of a dataset folder, in order; empty if there are none."""
    return sorted(folder.glob("heads-*.tar"))


def _grouped(shard: Path) -> Iterator[dict[str, bytes]]:
    with tarfile.open(shard) as tar:
        key, files = "", {}
        for member in tar:
            stem, suffix = member.name.split(".", 1)
            if stem != key and files:
                yield files
                files = {}
            key = stem
            data = tar.extractfile(member)
            assert data is not None
            files[suffix] = data.read()
        if files:
            yield files


def _claim(out: Path, config: DatasetConfig) -> None:
    """Write the settings beside the shards, or check that the shards there have the same ones."""
    described = {k: v for k, v in vars(config).items() if k != "subjects"}
    path = out / "dataset.json"
    if path.exists() and json.loads(path.read_text()) != described:
        raise InputError(f"{out} holds a dataset made with other settings: choose another folder")
    path.write_text(json.dumps(described, indent=2))


def _landmarks(template: HeadTemplate, vertices: NDArray) -> dict[str, NDArray]:
    return {name: vertices[index] for name, index in template.landmarks.items()}


def _one_thread() -> None:
    torch.set_num_threads(1)


def _png(image: torch.Tensor) -> bytes:
    array = (image.permute(1, 2, 0).clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _decode(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _npy(array: NDArray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
