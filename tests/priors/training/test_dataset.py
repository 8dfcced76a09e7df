from __future__ import annotations

import io
import json
import tarfile
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from id3d_engine.assets.appearance import VECTOR_NAMES
from id3d_engine.assets.sampler import sample_asset
from id3d_engine.errors import Cancelled, InputError
from id3d_engine.expressions import EXPRESSION_NAMES
from id3d_engine.identity.measures import LENGTH
from id3d_engine.job import Job
from id3d_engine.priors.training import dataset
from id3d_engine.priors.training.dataset import (
    DatasetConfig,
    build_dataset,
    claim,
    everyday_expression,
    photographed,
    write_shard,
)
from id3d_engine.priors.training.shards import decode_pngs, find_shards, read_shards, shard_addresses
from id3d_engine.template import load_template

CONFIG = DatasetConfig(subjects=1, views=4, photos=1, image_size=64, subjects_per_shard=1)


@pytest.fixture
def shard(dataset_folder: Path) -> Path:
    (only,) = find_shards(dataset_folder)
    return only


def test_a_sample_is_two_pictures_an_embedding_and_a_record(shard: Path) -> None:
    with tarfile.open(shard) as tar:
        names = tar.getnames()
        files = {name: tar.extractfile(name).read() for name in names}
    suffixes = ("normals.png", "albedo.png", "identity.npy", "measures.npy", "json")
    assert names == [f"00000000-{view:02d}.{suffix}" for view in range(4) for suffix in suffixes]
    for name, data in files.items():
        if name.endswith(".png"):
            image = np.asarray(Image.open(io.BytesIO(data)))
            assert image.shape == (64, 64, 3) and image.dtype == np.uint8
            assert image.max() > 120
    embedding = np.load(io.BytesIO(files["00000000-00.identity.npy"]))
    assert embedding.shape == (1, 128) and embedding.dtype == np.float32
    assert 1.0 < np.linalg.norm(embedding) < 2.0
    measures = np.load(io.BytesIO(files["00000000-00.measures.npy"]))
    assert measures.shape == (1, LENGTH) and measures.dtype == np.float16 and np.isfinite(measures).all()
    template = load_template()
    for view in range(4):
        record = json.loads(files[f"00000000-{view:02d}.json"])
        assert record["subject"] == 0
        assert record["expression"] in (*EXPRESSION_NAMES, "neutral")
        assert 0.6 <= record["strength"] <= 1
        assert record["caption"] and record["view"] and record["descriptor"]
        assert len(record["target"]) == len(template.basis) + len(VECTOR_NAMES)


def test_both_pictures_show_the_same_surface(shard: Path) -> None:
    samples = read_shards([shard])
    assert len(samples.records) == 4
    assert samples.image_size == 64
    normals, albedo = decode_pngs(samples.normals), decode_pngs(samples.albedo)
    # Where a head is seen inside the frame, its normal has length 1 and its albedo is not black.
    length = (2 * normals - 1).norm(dim=1)
    covered = (length - 1).abs() < 0.02
    assert 0.1 < covered.float().mean() < 0.9
    assert (albedo.sum(1)[covered] > 0).float().mean() > 0.98
    background = normals.sum(1) == 0
    assert background.any() and (albedo.sum(1)[background] == 0).all()
    # Nobody sees a surface from behind: normals face the camera but for the rounding at outlines.
    assert (normals[:, 2][covered] > 0.45).float().mean() > 0.98


def test_webdataset_reads_a_shard(shard: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    rows = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("rgb8"))
    samples = read_shards([shard])
    assert [row["__key__"] for row in rows] == [f"00000000-{view:02d}" for view in range(4)]
    for index, row in enumerate(rows):
        assert row["json"] == samples.records[index]
        assert np.array_equal(row["identity.npy"], samples.identity[index])
        image = np.asarray(Image.open(io.BytesIO(samples.albedo[index])))
        assert np.array_equal(row["albedo.png"], image)


def test_the_same_seeds_give_the_same_bytes(shard: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    again = write_shard(tmp_path / shard.name, CONFIG, 0)
    assert again.read_bytes() == shard.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [shard.name]


def records(count: int):
    """Stands in for the rendering of a head: quick samples of the right layout."""

    def render(asset, template, encoder, config):
        for view in range(config.views):
            yield f"{asset.seed:08d}-{view:02d}", {"json": json.dumps(asset.seed).encode()}
            if asset.seed >= count:
                raise KeyboardInterrupt

    return render


def test_an_interrupted_build_leaves_whole_shards_only(tmp_path: Path, monkeypatch) -> None:
    config = replace(CONFIG, subjects=3, views=2)
    monkeypatch.setattr(dataset, "render_subject", records(1))
    with pytest.raises(KeyboardInterrupt):
        build_dataset(tmp_path, config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.json", "heads-00000.tar"]
    first = (tmp_path / "heads-00000.tar").stat().st_mtime_ns
    monkeypatch.setattr(dataset, "render_subject", records(9))
    heard = []
    shards = build_dataset(tmp_path, config, listener=heard.append)
    assert shards == find_shards(tmp_path) and len(shards) == 3
    assert (heard[-1].stage, heard[-1].step, heard[-1].steps) == ("dataset", 2, 2)
    assert shards[0].stat().st_mtime_ns == first
    with tarfile.open(shards[2]) as tar:
        assert tar.getnames() == ["00000002-00.json", "00000002-01.json"]


def test_a_cancelled_build_says_so(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        build_dataset(tmp_path, CONFIG, cancel=cancel)
    assert find_shards(tmp_path) == []


def test_a_dataset_grows_and_its_unfinished_last_shard_is_made_again(tmp_path: Path) -> None:
    few = DatasetConfig(subjects=5, subjects_per_shard=2)
    claim(tmp_path, few)
    shards = [tmp_path / f"heads-{i:05d}.tar" for i in range(3)]
    for shard in shards:
        shard.write_bytes(b"")
    claim(tmp_path, few)
    assert find_shards(tmp_path) == shards
    claim(tmp_path, replace(few, subjects=8))
    assert find_shards(tmp_path) == shards[:2]
    assert json.loads((tmp_path / "dataset.json").read_text()) == asdict(replace(few, subjects=8))


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    with pytest.raises(InputError, match="made with other settings: choose another folder"):
        build_dataset(tmp_path, replace(CONFIG, image_size=128))
    claim(tmp_path, replace(CONFIG, subjects=2))
    with pytest.raises(InputError, match="begun for 2 subjects, more than 1"):
        build_dataset(tmp_path, CONFIG)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json is damaged"):
        build_dataset(tmp_path, CONFIG)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="is a file: give a folder"):
        build_dataset(file, CONFIG)


def test_what_is_no_dataset_is_said(shard: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shards: run `id3d dataset` first"):
        shard_addresses(tmp_path)
    cut = tmp_path / "heads-00000.tar"
    cut.write_bytes(shard.read_bytes()[:30000])
    with pytest.raises(InputError, match="is not a dataset shard"):
        read_shards([cut])
    with tarfile.open(cut, "w") as tar:
        tar.addfile(tarfile.TarInfo("a.json"), io.BytesIO())
    with pytest.raises(InputError, match="is not a dataset shard"):
        read_shards([cut])
    with tarfile.open(cut, "w") as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    with pytest.raises(InputError, match="folder is no file"):
        read_shards([cut])
    with tarfile.open(cut, "w"):
        pass
    with pytest.raises(InputError, match="holds no sample"):
        read_shards([cut])


def test_half_of_the_people_smile_for_the_photograph() -> None:
    template = load_template()
    asset = sample_asset(template, 3)
    faces = [everyday_expression(asset, np.random.default_rng(i)) for i in range(60)]
    moved = np.array([np.linalg.norm(face, axis=1).max() for face in faces])
    assert moved.max() < 0.05 and (moved > 0).all()
    smile = asset.expression("smile")
    alike = [(face * smile).sum() / np.sqrt((face**2).sum() * (smile**2).sum()) for face in faces]
    assert 0.25 < (np.array(alike) > 0.8).mean() < 0.6


def test_a_head_is_shown_with_long_hair_and_with_the_cap_that_strands_are_put_on() -> None:
    template = load_template()
    heads = (sample_asset(template, seed) for seed in range(99))
    (long, painted), (cap, bare) = dataset._worn(
        next(a for a in heads if a.appearance.style == "long"), template
    )
    raised = np.linalg.norm(long - cap, axis=1)
    assert raised.max() > 0.02 and (raised < 1e-6).mean() > 0.5
    face = template.regions["face"] > 0.5
    assert np.median(raised[face]) == 0
    assert 0.01 < (painted - bare).abs().mean() < 0.2


class Blind:
    dimensions = 128

    def quick_face(self, photo):
        raise InputError("no face was found")


def test_a_head_whose_face_is_never_found_is_left_out(monkeypatch) -> None:
    template = load_template()
    asset = sample_asset(template, 3)
    monkeypatch.setattr(dataset, "photo_like", lambda *_, **__: np.zeros((8, 8, 3), np.uint8))
    embeddings, measures = photographed(asset, template, Blind(), Job(), 2)
    assert embeddings.shape == (0, 128) and measures.shape == (0, LENGTH)
    assert list(dataset.render_subject(asset, template, Blind(), CONFIG)) == []
