"""A folder of scans becomes training data: here the scan of a drawn head, whose truth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from id3d_engine import scans
from id3d_engine.assets.photo import head_material
from id3d_engine.assets.sampler import sample_asset
from id3d_engine.cli import main
from id3d_engine.errors import InputError
from id3d_engine.priors.adapter_files import read_adapter_config
from id3d_engine.priors.locate import STARTER_FOLDER
from id3d_engine.priors.prompts import DOMAINS
from id3d_engine.priors.start import START_FILE
from id3d_engine.priors.training.dataset import DatasetConfig, claim
from id3d_engine.priors.training.shards import decode_pngs, read_shards
from id3d_engine.scans import FOR_SCANS, Scans, scanned_dataset
from id3d_engine.template import load_template

SMALL = replace(FOR_SCANS, views=3, photos=1, image_size=64)


@pytest.fixture(scope="module")
def person():
    return sample_asset(load_template(), 4)


@pytest.fixture(scope="module")
def folder(person, tmp_path_factory) -> Path:
    """One subject: neutral and smile with the drawn skin as their texture, corners apart as scanners do."""
    template = load_template()
    folder = tmp_path_factory.mktemp("scans")
    home = folder / "anna"
    home.mkdir()
    albedo = head_material(person, template)[0].permute(1, 2, 0).numpy()
    image = Image.fromarray((albedo * 255 + 0.5).astype(np.uint8))
    for name in ("neutral", "smile"):
        points = (person.skin + person.expression(name))[template.triangles].reshape(-1, 3)
        visual = trimesh.visual.TextureVisuals(uv=template.triangle_uv.reshape(-1, 2), image=image)
        faces = np.arange(len(points)).reshape(-1, 3)
        trimesh.Trimesh(points, faces, visual=visual, process=False).export(home / f"{name}.glb")
    (home / "subject.json").write_text(json.dumps({"caption": "Anna", "attributes": {"age": 30}}))
    return folder


@pytest.fixture(scope="module")
def scanned(folder):
    return Scans(folder)(load_template(), 0)


def test_a_scan_is_a_head_like_any_other(person, scanned) -> None:
    template = load_template()
    assert np.linalg.norm(scanned.neutral - person.skin, axis=1)[template.regions["face"] > 0.9].mean() < 1e-3
    assert scanned.caption == "Anna" and scanned.attributes == {"age": 30.0} and scanned.shape is None
    mouth = template.landmarks["left_mouth_corner"]
    smile, wanted = scanned.expression("smile")[mouth], person.expression("smile")[mouth]
    assert np.linalg.norm(smile - wanted) < 0.35 * np.linalg.norm(wanted)
    assert np.abs(scanned.expression("jaw_left")).max() > 0.002  # not scanned: by its recipe


def test_its_own_skin_lies_over_the_painted_one(person, scanned) -> None:
    template = load_template()
    truth, found = (head_material(asset, template)[0].numpy() for asset in (person, scanned))
    covered = scanned.scanned[..., 3] > 0
    assert 0.2 < covered.mean() < 0.95
    assert np.abs(truth - found)[:, covered].mean() < 0.03
    # Painted or not, the tone is the person's.
    assert abs(scanned.appearance.melanin - person.appearance.melanin) < 0.25


def test_scans_become_shards(folder, tmp_path) -> None:
    torch.set_num_threads(1)
    shards, faceless = scanned_dataset(folder, tmp_path, SMALL)
    assert faceless == []
    samples = read_shards(shards)
    assert len(samples.records) == 3 and samples.image_size == 64
    assert {r["subject"] for r in samples.records} == {0}
    assert all(r["target"] is None and r["caption"] == "Anna" for r in samples.records)
    assert decode_pngs(samples.albedo).max() > 0.4
    before = shards[0].stat().st_mtime_ns
    assert scanned_dataset(folder, tmp_path, SMALL)[0][0].stat().st_mtime_ns == before
    with pytest.raises(InputError, match="other settings"):
        claim(tmp_path, replace(SMALL, subjects=1, source=""))


def test_scans_become_adapters_in_one_command(folder, tiny_prior, tmp_path, monkeypatch) -> None:
    out = tmp_path / "prior"
    monkeypatch.setattr(scans, "FOR_SCANS", replace(SMALL, image_size=256))  # the base wants 64 px
    where = ["--scans", folder, "--base", tiny_prior, "--out", out]
    arguments = ["train", *where, "--steps", 2, "--batch", 2, "--rank", 2, "--progress", "none"]
    assert main([str(x) for x in arguments]) == 0
    assert read_adapter_config(out, "geometry").base == str(tiny_prior)
    assert (out / START_FILE).read_bytes() == (STARTER_FOLDER / START_FILE).read_bytes()
    card = (out / "card.md").read_text()
    assert "renders of scans of people" in card and "the packaged starter's regressor" in card
    assert "the scans' owner's choice for the adapters" in card
    pictures = sorted(path.name for path in (tmp_path / "prior.work").glob("*.png"))
    assert pictures == [f"samples-{d}-000002.png" for d in sorted(DOMAINS)]


def test_a_dataset_or_scans(tmp_path, capsys) -> None:
    assert main(["train", "--out", str(tmp_path / "prior")]) == 2
    assert "name a dataset to train on, or a folder of --scans" in capsys.readouterr().err


def test_datasets_of_before_go_on(tmp_path) -> None:
    config = DatasetConfig(subjects=2)
    claim(tmp_path, config)
    made = json.loads((tmp_path / "dataset.json").read_text())
    del made["source"]
    (tmp_path / "dataset.json").write_text(json.dumps(made))
    claim(tmp_path, config)


def test_a_scan_without_texture_is_refused(folder, tmp_path) -> None:
    home = tmp_path / "scans" / "bare"
    home.mkdir(parents=True)
    mesh = trimesh.load(folder / "anna" / "neutral.glb", force="mesh", process=False)
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(home / "neutral.ply")
    with pytest.raises(InputError, match="bare/neutral has no texture to learn albedo from"):
        Scans(home.parent)(load_template(), 0)
