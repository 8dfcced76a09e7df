"""A finished head under a new text; `test_generate.py` holds the stages themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from id3d_engine import edit
from id3d_engine.assets.appearance import AppearanceParameters, style_logits
from id3d_engine.assets.hair import hair_offsets
from id3d_engine.assets.skin import author_textures
from id3d_engine.config import Preset
from id3d_engine.digest import sha256_of
from id3d_engine.edit import NOBODY, Change
from id3d_engine.errors import Cancelled, InputError
from id3d_engine.haired import haired
from id3d_engine.head import Head, validate
from id3d_engine.identity import Identity
from id3d_engine.png import to_uint8
from id3d_engine.stages import looks
from id3d_engine.template import HeadTemplate, load_template

KINDS = ("albedo", "roughness", "specular")


def age(vertices: np.ndarray) -> float:
    template = load_template()
    return float(template.given_attributes.attributes(template.coefficients(vertices)[None])[0, 0])


def heights(template: HeadTemplate, name: str, low: float, high: float) -> np.ndarray:
    """(V,) the face's vertices so far above a landmark, metres."""
    above = template.vertices[:, 2] - template.vertices[template.landmarks[name], 2]
    return (template.regions["face"] > 0.5) & (above > low) & (above < high)


def _texels(template: HeadTemplate, size: int, chosen: np.ndarray) -> np.ndarray:
    """(S, S) bool: where the corners of faces lie whose vertices are chosen."""
    corners = template.uv[chosen[template.faces].all(axis=1) > 0].reshape(-1, 2)
    mask = np.zeros((size, size), bool)
    mask[
        np.minimum(((1 - corners[:, 1]) * size).astype(int), size - 1), (corners[:, 0] * size).astype(int)
    ] = True
    return mask


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def bundle(template_head: Head, tmp_path: Path) -> Path:
    return template_head.write(tmp_path / "anna.head", preview=False)


@pytest.fixture
def options(tiny_prior: Path, tiny_preset: Preset) -> dict:
    return {"text": "as a cute baby", "prior": tiny_prior, "preset": tiny_preset, "device": "cpu"}


@pytest.fixture
def no_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take longer than all else here."""
    write = Head.write
    monkeypatch.setattr(Head, "write", lambda head, out, **how: write(head, out, **how | {"preview": False}))


def test_geometry_changes_and_maps_stay(
    bundle: Path, template_head: Head, options: dict, tmp_path: Path, no_preview: None
) -> None:
    heard = []
    edited = edit(bundle, target="geometry", listener=heard.append, **options)
    out = tmp_path / "anna-edit.head"
    assert validate(out) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anna-edit.head", "anna.head"]
    assert Head.read(out).names == template_head.names == edited.names
    assert np.isfinite(edited.shape_keys).all()
    moved = np.linalg.norm(edited.vertices - template_head.vertices, axis=1)
    assert 0.001 < moved.mean() < 0.1 and age(template_head.vertices) > 20 and age(edited.vertices) < 6
    assert edited.textures.keys() == template_head.textures.keys()
    assert all(np.array_equal(edited.textures[k], template_head.textures[k]) for k in edited.textures)
    provenance = edited.info["provenance"]
    assert (provenance["text"], provenance["target"]) == ("as a cute baby", "geometry")
    assert provenance["head_sha256"] == sha256_of(bundle / "head.json")
    assert provenance["source"] == {"seed": 7}
    assert edited.info["notes"] == [NOBODY]
    assert "paint" not in {progress.stage for progress in heard}


def test_maps_change_and_geometry_stays(
    bundle: Path, template_head: Head, options: dict, tmp_path: Path, no_preview: None
) -> None:
    out = tmp_path / "other.head"
    person = Identity(np.full(128, 0.1, np.float32))
    edited = edit(bundle, target="texture", out=out, identity=person, **options)
    assert validate(out) == []
    assert np.array_equal(edited.vertices, template_head.vertices)
    assert np.array_equal(edited.shape_keys, template_head.shape_keys)
    assert set(edited.textures) == {"albedo", "roughness", "specular", "normal"}
    for kind in ("albedo", "roughness", "specular", "normal"):
        assert edited.textures[kind].shape == template_head.textures[kind].shape
    assert not np.array_equal(edited.textures["albedo"], template_head.textures["albedo"])
    assert np.array_equal(edited.textures["normal"], template_head.textures["normal"])
    assert edited.info["provenance"]["identity_sha256"] == person.sha256()
    assert edited.info["notes"] == []
    # Whose embedding it was is only kept where it had been kept before.
    assert not (out / "identity.safetensors").exists()


def test_hair_and_beard_are_drawn_anew_and_the_skin_stays(
    template_head: Head, options: dict, tmp_path: Path, no_preview: None
) -> None:
    template, look = load_template(), AppearanceParameters()
    authored = author_textures(template, look, 128)
    maps = {kind: to_uint8(getattr(authored, f"{kind}_srgb" if kind == "albedo" else kind)) for kind in KINDS}
    vertices = template.vertices + hair_offsets(template, template.vertices, look)
    head = replace(template_head, vertices=vertices, textures=maps, info=looks(look))
    source = head.write(tmp_path / "a.head", preview=False)

    asked = options | {"text": "with a full black beard", "out": tmp_path / "b.head"}
    painted = edit(source, target="texture", **asked)
    assert np.array_equal(painted.vertices, head.vertices)
    darker = head.textures["albedo"].mean(-1) - painted.textures["albedo"].mean(-1).astype(float)
    chin = _texels(template, 128, heights(template, "chin", -0.01, 0.015))
    forehead = _texels(template, 128, heights(template, "left_upper_lid", 0.03, 0.05))
    assert darker[chin].mean() > 25 and abs(np.median(darker[forehead])) < 6
    kept = painted.info["look"]
    assert (kept["maps"]["beard"], kept["mesh"]["beard"]) == (0.9, 0.0)

    both = edit(source, target="both", **asked | {"text": "with an afro", "overwrite": True})
    moved = np.linalg.norm(both.vertices - head.vertices, axis=1)
    assert (
        moved[template.regions["scalp"] > 0.9].mean() > 0.012
        and np.median(moved[template.regions["face"] > 0.9]) < 0.002
    )
    assert both.info["look"]["mesh"] == both.info["look"]["maps"]


def test_a_head_whose_look_is_not_known_says_so(bundle: Path, options: dict, no_preview: None) -> None:
    edited = edit(bundle, target="texture", **options | {"text": "with a full beard"})
    assert any("how this head was drawn is not known" in note for note in edited.info["notes"])
    assert "look" not in edited.info


def test_the_bundles_own_identity_is_used_and_kept(
    template_head: Head, options: dict, tmp_path: Path, no_preview: None
) -> None:
    person = Identity(np.full(128, 0.1, np.float32))
    source = template_head.write(
        tmp_path / "a.head", preview=False, identity_file=person.save(tmp_path / "a.id")
    )
    edit(source, target="texture", **options)
    kept = Identity.load(tmp_path / "a-edit.head" / "identity.safetensors")
    assert kept.sha256() == person.sha256()


def test_cancelled_and_resumed_it_ends_with_the_same_bytes(
    bundle: Path, options: dict, tmp_path: Path, no_preview: None
) -> None:
    whole = edit(bundle, target="texture", out=tmp_path / "whole.head", **options)
    cancel = threading.Event()

    def stop(progress) -> None:
        if progress.stage == "paint":
            cancel.set()

    with pytest.raises(Cancelled):
        edit(bundle, target="texture", listener=stop, cancel=cancel, **options)
    with pytest.raises(InputError, match="holds a run with other settings"):
        edit(bundle, target="geometry", resume=True, **options)
    resumed = edit(bundle, target="texture", resume=True, **options)
    assert all(np.array_equal(resumed.textures[k], whole.textures[k]) for k in whole.textures)


def test_both_is_one_after_the_other(
    bundle: Path, options: dict, monkeypatch: pytest.MonkeyPatch, no_preview: None
) -> None:
    import sys

    module, calls = sys.modules["id3d_engine.edit"], []

    def stage(name: str):
        def run(head: Head, change: Change, task: SimpleNamespace) -> Head:
            calls.append((name, task.text, [e.name for e in task.cast], task.embedding))
            return head

        return run

    monkeypatch.setattr(module, "reshaped", stage("geometry"))
    monkeypatch.setattr(module, "repainted", stage("texture"))
    edit(bundle, **options)
    assert calls == [(k, "as a cute baby", ["smile", "eyes_closed"], None) for k in ("geometry", "texture")]


def test_unusable_requests_are_refused(
    bundle: Path, small_head: Head, template_head: Head, options: dict, tmp_path: Path, no_preview: None
) -> None:
    person = Identity(np.full(128, 0.1, np.float32), "arcface")
    with pytest.raises(InputError, match="an edit needs a text: say what should change"):
        edit(bundle, **options | {"text": "  "})
    with pytest.raises(InputError, match="unknown target 'hair': choose geometry, texture, both"):
        edit(bundle, target="hair", **options)
    with pytest.raises(InputError, match="is not a head bundle"):
        edit(tmp_path / "no.head", **options)
    with pytest.raises(InputError, match="already exists: choose another name"):
        edit(bundle, out=bundle, **options)
    with pytest.raises(InputError, match="comes from the arcface encoder and the prior wants dlib"):
        edit(bundle, identity=person, **options)
    other = small_head.write(tmp_path / "balls.head", preview=False)
    with pytest.raises(InputError, match="does not have the template's topology"):
        edit(other, **options)
    del template_head.textures["roughness"]
    bare = template_head.write(tmp_path / "bare.head", preview=False)
    with pytest.raises(InputError, match="has no roughness map to start from: edit its geometry alone"):
        edit(bare, target="texture", **options)


def test_an_edited_heads_hair_follows(
    template_head: Head, options: dict, tmp_path: Path, no_preview: None
) -> None:
    template, look = load_template(), AppearanceParameters(style_logits=style_logits("short"))
    vertices = template.vertices + hair_offsets(template, template.vertices, look)
    head = replace(template_head, vertices=vertices, info=looks(look))
    source = haired(head, look, template, 0).write(tmp_path / "a.head", preview=False)

    asked = options | {"text": "with long blonde hair"}
    old = Head.read(source).strands
    both = edit(source, target="both", out=tmp_path / "b.head", **asked).strands
    assert both is not None and old is not None
    grown = [np.linalg.norm(np.diff(s.points, axis=1), axis=2).sum(axis=1) for s in (old, both)]
    assert np.median(grown[1]) > 3 * np.median(grown[0])
    # A texture alone keeps the cut.
    only = edit(source, target="texture", out=tmp_path / "c.head", **asked).strands
    assert only is not None
    assert np.allclose(only.points, old.points, atol=1e-5)
    assert only.colour.mean() > old.colour.mean() + 0.1
    assert validate(tmp_path / "b.head") == []


def test_strands_of_an_unknown_look_move_along(
    template_head: Head, options: dict, tmp_path: Path, no_preview: None
) -> None:
    worn = haired(template_head, AppearanceParameters(), load_template(), 0)
    source = replace(worn, info={}).write(tmp_path / "a.head", preview=False)
    edited = edit(source, target="geometry", out=tmp_path / "b.head", **options)
    assert edited.strands is not None
    apart = edited.roots.places(edited.vertices) - edited.strands.points[:, 0]
    assert np.abs(apart).max() < 1e-5 < np.abs(edited.strands.points - worn.strands.points).max()
