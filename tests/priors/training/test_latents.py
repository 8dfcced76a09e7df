"""Encoded data: made once, from wherever the shards lie, and read row by row."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from id3d_engine.errors import InputError, MissingDependency
from id3d_engine.job import Job
from id3d_engine.priors.adapters import AdapterSizes
from id3d_engine.priors.base import Base
from id3d_engine.priors.prompts import DOMAINS
from id3d_engine.priors.training import latents, shards
from id3d_engine.priors.training import result as training_result
from id3d_engine.priors.training.dataset import DatasetConfig, build_dataset
from id3d_engine.priors.training.denoiser import DenoiserTraining
from id3d_engine.priors.training.latents import encode_shards, open_encoded
from id3d_engine.priors.training.shards import decode_pngs, read_shards, shard_addresses
from id3d_engine.priors.training.train import TrainingConfig, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people in two shards, two views and two photo-like renders of each."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("data")
    config = DatasetConfig(subjects=2, views=2, photos=2, image_size=64, subjects_per_shard=1)
    build_dataset(folder, config)
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """A real web server over the folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def encode(base: Base, addresses: list[str], out: Path, **how: object) -> None:
    encode_shards(addresses, out, base.vae, Job(), **{"image_size": 64, "dimension": 128, **how})


def test_rows_are_those_of_the_pictures(base: Base, folder: Path, tmp_path: Path) -> None:
    addresses = shard_addresses(folder)
    encode(base, addresses, tmp_path)
    found, samples = open_encoded(tmp_path, 2), read_shards(addresses)
    assert len(addresses) == 2 and len(found.said) == len(samples.records) == 4
    for domain, pngs in (("geometry", samples.normals), ("albedo", samples.albedo)):
        with torch.no_grad():
            wanted = base.vae.encode(decode_pngs(pngs) * 2 - 1).latent_dist.mode()
        wanted = wanted * base.vae.config.scaling_factor
        assert found.latents[domain].shape == wanted.shape
        rows = torch.tensor([3, 0, 2, 2])
        assert torch.allclose(found.latents[domain][rows].float(), wanted[rows], atol=5e-3)
    assert [said["view"] for said in found.said] == [r["view"] for r in samples.records]
    assert [r["subject"] for r in found.people.records] == [0, 1]
    assert found.person.tolist() == [0, 0, 1, 1]
    identity = found.identity()
    assert identity.shape == (2, 2, 128)
    for sample, person in enumerate(found.person.tolist()):
        assert np.array_equal(identity[person], samples.identity[sample])


def test_people_of_several_shards_are_one_and_photos_repeat(base: Base, folder: Path, tmp_path: Path) -> None:
    first, second = shard_addresses(folder)
    encode(base, [first, second, first], tmp_path)
    found = open_encoded(tmp_path, 3)
    assert found.person.tolist() == [0, 0, 1, 1, 0, 0]
    assert len(found.people.embeddings) == 4
    people = replace(found.people, embeddings=found.people.embeddings[1:], subject=found.people.subject[1:])
    rows = replace(found, people=people).identity()
    assert np.array_equal(rows[0, 0], rows[0, 1]) and not np.array_equal(rows[1, 0], rows[1, 1])


def test_what_is_encoded_is_not_encoded_again(base: Base, folder: Path, tmp_path: Path, monkeypatch) -> None:
    addresses, read = shard_addresses(folder), []
    monkeypatch.setattr(latents, "read_shards", lambda s: read.append(s) or read_shards(s))
    encode(base, addresses, tmp_path, share=(1, 2))
    encode(base, addresses, tmp_path)
    assert read == [[addresses[1]], [addresses[0]]]
    with pytest.raises(InputError, match="images are 64 px and the base works on 512 px"):
        encode(base, addresses, tmp_path / "new", image_size=512)


def test_latents_stay_on_disk(base: Base, tmp_path: Path, folder: Path) -> None:
    """Opening and reading a few rows of a large set takes no memory of its size."""
    if not Path("/proc/self/statm").is_file():
        pytest.skip("there is no /proc to ask")
    encode(base, shard_addresses(folder)[:1], tmp_path)
    small = load_file(tmp_path / "00000.safetensors")
    large = {d: torch.randn(20_000, 4, 32, 32).half() for d in DOMAINS}  # 330 MB
    save_file({**small, **large}, tmp_path / "00000.safetensors")
    del large
    before = _resident()
    rows = open_encoded(tmp_path, 1).latents["albedo"]
    assert rows[torch.arange(0, 20_000, 5000)].shape == (4, 4, 32, 32)
    assert _resident() - before < 60e6


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096.0


CONFIG = TrainingConfig(
    denoiser=DenoiserTraining(steps=3, batch=4, save_every=9, learning_rate=0.01),
    sizes=AdapterSizes(128, rank=2),
)


def test_training_streams_from_a_web_server(
    folder: Path, server: str, tiny_prior: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(training_result, "write_grid", lambda *_, **__: None)
    address = server + "/heads-{00000..00001}.tar"
    out = tmp_path / "streamed"
    shutil.move(folder / "heads-00001.tar", folder / "away")
    with pytest.raises(InputError, match=r"heads-00001\.tar cannot be read .* then run this again"):
        train(address, out, CONFIG, base=tiny_prior)
    shutil.move(folder / "away", folder / "heads-00001.tar")
    made = out.with_name("streamed.work") / "latents" / "00000.safetensors"
    before = made.stat().st_mtime_ns
    train(address, out, CONFIG, base=tiny_prior)
    assert made.stat().st_mtime_ns == before
    train(folder, tmp_path / "local", CONFIG, base=tiny_prior)
    for file in ("geometry.safetensors", "albedo.safetensors", "start.safetensors"):
        one, other = (load_file(tmp_path / name / file) for name in ("streamed", "local"))
        assert all(torch.equal(one[key], other[key]) for key in other)


def test_a_command_may_give_the_bytes(folder: Path, tmp_path: Path) -> None:
    samples = read_shards([f"pipe:cat {folder}/heads-00000.tar"])
    assert samples.records == read_shards([folder / "heads-00000.tar"]).records
    with pytest.raises(InputError, match=r"cannot be read|is not a dataset shard"):
        read_shards([f"pipe:head -c 20000 {folder}/heads-00000.tar; exit 3"])


def test_addresses_need_webdataset(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "webdataset.gopen", None)
    with pytest.raises(MissingDependency, match=r"pip install 'id3d-engine\[train\]'"):
        shards.shard_addresses("https://example.org/heads-{0..3}.tar")
