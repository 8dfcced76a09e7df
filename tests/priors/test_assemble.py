from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from id3d_engine.errors import InputError
from id3d_engine.models.install import Wish, add_local
from id3d_engine.priors.adapter_files import read_adapter_config
from id3d_engine.priors.adapters import attention_layers
from id3d_engine.priors.assemble import assemble
from id3d_engine.priors.base import load_base, save_base
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.start import load_start


@pytest.fixture
def bases(prior_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with two different bases, "normals" and "plain"."""
    models = tmp_path / "models"
    monkeypatch.setenv("ID3D_MODELS", str(models))
    ignored = shutil.ignore_patterns("geometry.*", "albedo.*")
    shutil.copytree(prior_folder, tmp_path / "normals", ignore=ignored)
    add_local(tmp_path / "normals", models, Wish())
    base = load_base(prior_folder)
    with torch.no_grad():
        for parameter in base.unet.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    save_base(base, tmp_path / "plain")
    add_local(tmp_path / "plain", models, Wish())
    shutil.rmtree(tmp_path / "normals")
    shutil.rmtree(tmp_path / "plain")
    return models


@torch.no_grad()
@pytest.mark.parametrize(("domain", "base_name"), [("geometry", "normals"), ("albedo", "plain")])
def test_without_faceid_it_answers_as_the_base_does_bit_for_bit(
    bases: Path, tmp_path: Path, domain: str, base_name: str
) -> None:
    assemble("normals", "plain", tmp_path / "prior")
    prior = Prior.load(tmp_path / "prior", domain)
    base = load_base(bases / base_name)
    noisy, t = torch.randn(2, 4, 8, 8), torch.tensor([500, 20])
    person = torch.randn(prior.config.identity_dimension)
    conditions = prior.conditions(person, "a broad grin", ["front view", "left side view"], "an old man")
    heard = prior.denoiser.heard(conditions.text, conditions.identity, conditions.expression)
    assert {len(pairs) for pairs in heard.keys.values()} == {1}  # no time goes to what says nothing
    found = prior.denoiser(noisy, t, heard)
    plain = base.unet.eval()(noisy, t, encoder_hidden_states=conditions.text, return_dict=False)[0]
    assert torch.equal(found, plain)


def test_without_faceid_the_start_head_carries_the_identity_for_any_use(bases: Path, tmp_path: Path) -> None:
    assemble("normals", "plain", tmp_path / "prior")
    config = read_adapter_config(tmp_path / "prior", "geometry")
    assert (config.identity_encoder, config.identity_dimension, config.base) == ("dlib", 128, "normals")
    assert load_start(tmp_path / "prior") is not None
    assert load_start(tmp_path / "prior", measured=True) is not None
    assert not (tmp_path / "prior" / "unet").exists()
    assemble("normals", "plain", tmp_path / "again")
    for path in (tmp_path / "prior").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_faceid_is_heard_in_both_domains_and_its_updates_are_added_to_the_base(
    bases: Path, tmp_path: Path, faceid: dict[str, Tensor]
) -> None:
    save_file(faceid, tmp_path / "faceid.safetensors")
    assemble("normals", "plain", tmp_path / "prior", faceid=tmp_path / "faceid.safetensors", lambda_id=0.6)
    for domain, base_name in (("geometry", "normals"), ("albedo", "plain")):
        prior = Prior.load(tmp_path / "prior", domain)
        assert (prior.config.identity_encoder, prior.config.identity_tokens) == ("arcface", 4)
        assert prior.adapter.lambda_id == prior.config.lambda_id == 0.6
        assert Prior.load(tmp_path / "prior", domain, lambda_id=0.2).adapter.lambda_id == 0.2
        noisy, t = prior.noise(1), torch.tensor([500])
        one, other = (
            prior.predict(noisy, t, prior.conditions(face, None, "front view"))[0]
            for face in (torch.ones(8), -torch.ones(8))
        )
        assert not torch.allclose(one, other, atol=1e-3)
        path, changed = next(iter(attention_layers(prior.denoiser.unet).items()))
        plain = load_base(bases / base_name).unet.get_submodule(path)
        down, up = (faceid[f"ip_adapter.0.to_q_lora.{part}.weight"] for part in ("down", "up"))
        assert torch.allclose(changed.to_q.weight, plain.to_q.weight + up @ down, atol=2e-3)
    start = load_start(tmp_path / "prior")
    assert start is not None and start.encoder == "dlib"


def test_portrait_by_its_name_and_a_base_by_its_folder(
    bases: Path, tmp_path: Path, portrait: dict[str, Tensor]
) -> None:
    save_file(portrait, tmp_path / "ip-adapter-faceid-portrait_sd15.safetensors")
    model = add_local(tmp_path / "ip-adapter-faceid-portrait_sd15.safetensors", bases, Wish())
    assert (model.name, model.kind, model.commercial) == ("faceid-portrait", "faceid", "no")
    shutil.copytree(bases / "plain", tmp_path / "own")
    assemble("normals", str(tmp_path / "own"), tmp_path / "prior", faceid="faceid-portrait")
    assert read_adapter_config(tmp_path / "prior", "geometry").base == "normals"
    assert read_adapter_config(tmp_path / "prior", "albedo").base == str(tmp_path / "own")
    assert Prior.load(tmp_path / "prior", "albedo").config.identity_tokens == 16


def test_a_base_that_changed_or_went_away_is_named(bases: Path, tmp_path: Path) -> None:
    assemble("normals", "normals", tmp_path / "prior")
    (bases / "normals").rename(tmp_path / "away")
    with pytest.raises(InputError, match=r"no such model in .*: run: id3d models add normals"):
        Prior.load(tmp_path / "prior", "geometry")
    (bases / "plain").rename(bases / "normals")
    (bases / "normals" / "model.json").unlink()
    (tmp_path / "away" / "model.json").rename(bases / "normals" / "model.json")
    with pytest.raises(InputError, match=r"was trained on another base \(normals\) than"):
        Prior.load(tmp_path / "prior", "geometry")


def test_nothing_is_left_of_what_cannot_be_assembled(
    bases: Path, tmp_path: Path, faceid: dict[str, Tensor]
) -> None:
    def refused(sentence: str, albedo: str = "plain", faceid: object = None) -> None:
        with pytest.raises(InputError, match=sentence):
            assemble("normals", albedo, tmp_path / "prior", faceid=faceid)  # type: ignore[arg-type]
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["models"]

    refused("run: id3d models add sd1.5", albedo="sd1.5")
    refused("there is no file 'plain' and no FaceID model of this name in", faceid="plain")
    partial = {key: value for key, value in faceid.items() if key != "ip_adapter.1.to_k_ip.weight"}
    save_file(partial, tmp_path / "partial.safetensors")
    refused(r"missing ip_adapter\.1\.to_k_ip\.weight", faceid=tmp_path / "partial.safetensors")
    (tmp_path / "prior").mkdir()
    with pytest.raises(InputError, match="prior exists already: give another --out"):
        assemble("normals", "plain", tmp_path / "prior")


def test_reading_and_writing_a_base_draws_no_bars(
    prior_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_base(load_base(prior_folder), tmp_path / "base")
    assert capfd.readouterr() == ("", "")
