"""Training on a real shard of one head, with networks so small that a step takes milliseconds."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from id3d_engine import job as jobs
from id3d_engine.device import mixed_precision
from id3d_engine.digest import sha256_of
from id3d_engine.errors import Cancelled, InputError
from id3d_engine.priors.adapter_files import UNET_FILE, read_adapter_config
from id3d_engine.priors.adapters import AdapterSizes
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.prompts import DOMAINS
from id3d_engine.priors.start import START_FILE, load_start
from id3d_engine.priors.training import folder as training_folder
from id3d_engine.priors.training import result as training_result
from id3d_engine.priors.training.denoiser import DenoiserTraining
from id3d_engine.priors.training.shards import find_shards
from id3d_engine.priors.training.train import TrainingConfig, image_size_of, train
from id3d_engine.priors.training.vae import VaeTraining
from id3d_engine.priors.training.words import WordsTraining


@pytest.fixture(scope="module")
def config(tiny) -> TrainingConfig:
    return TrainingConfig(
        vae=VaeTraining(steps=3, batch=2, crop=32),
        words=WordsTraining(steps=2, batch=4),
        denoiser=DenoiserTraining(steps=3, batch=4, save_every=2),
        # The dataset's images are 64 px, which is what counts.
        starter=replace(tiny, image_size=512),
        sizes=AdapterSizes(128, rank=2),
        seed=4,
    )


@pytest.fixture(scope="module")
def trained(dataset_folder: Path, config: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("trained") / "prior"
    train(dataset_folder, out, config)
    return out


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a prior's folder by file and name."""
    return {
        f"{path.relative_to(folder)}:{key}": value
        for path in sorted(folder.rglob("*.safetensors"))
        for key, value in load_file(path).items()
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("domain", DOMAINS)
def test_training_makes_a_prior(trained: Path, domain: str) -> None:
    prior = Prior.load(trained, domain)
    assert (prior.image_size, prior.config.resolution, prior.config.rank) == (64, 64, 2)
    assert prior.config.metrics["step"] == 3
    assert prior.config.metrics["vae_psnr_db"] > 3
    assert prior.config.training["steps"] == 3
    conditions = prior.conditions(torch.randn(128), "a smile", ["front view", "back view"], "a man")
    images = prior.sample(conditions, steps=2, generator=torch.Generator().manual_seed(0))
    assert images.shape == (2, 3, 64, 64) and images.isfinite().all()


def test_what_lies_in_and_beside_the_folder(trained: Path) -> None:
    start = load_start(trained)
    assert (start.encoder, start.support.shape) == ("dlib", (1, 128))
    card = (trained / "card.md").read_text()
    assert "- subjects: 1" in card and "the one in this folder" in card
    pictures = sorted(path.name for path in trained.with_name("prior.work").glob("*.png"))
    assert pictures == [f"samples-{d}-{s:06d}.png" for d in sorted(DOMAINS) for s in (2, 3)]


def test_the_start_is_fitted_once(
    trained: Path, dataset_folder: Path, config: TrainingConfig, monkeypatch
) -> None:
    """Going on with a training takes it from beside the checkpoints, also where the prior lost it."""
    monkeypatch.setattr(training_result, "write_grid", lambda *_, **__: None)
    monkeypatch.setattr(training_folder, "train_starts", None)
    before = (trained / START_FILE).read_bytes()
    (trained / START_FILE).unlink()
    train(dataset_folder, trained, config)
    assert (trained / START_FILE).read_bytes() == before


def test_every_part_was_trained(trained: Path) -> None:
    for domain in DOMAINS:
        weights = load_file(trained / f"{domain}.safetensors")
        # These start at zero.
        fresh = [k for k in weights if k.endswith(("up.weight", "to_v_id.weight", "to_v_exp.weight"))]
        assert fresh and all(weights[k].abs().max() > 0 for k in fresh)


def test_a_finished_training_called_again_changes_nothing(
    trained: Path, dataset_folder: Path, config: TrainingConfig, monkeypatch
) -> None:
    monkeypatch.setattr(training_result, "write_grid", lambda *_, **__: None)
    before = tensors(trained)
    train(dataset_folder, trained, config)
    assert same(tensors(trained), before)


def test_stopped_and_killed_it_ends_with_the_same_tensors(
    trained: Path, dataset_folder: Path, config: TrainingConfig, tmp_path: Path, monkeypatch
) -> None:
    out, cancel = tmp_path / "prior", threading.Event()

    def stop(progress: jobs.Progress) -> None:
        if progress.stage == "vae" and progress.steps == 3:
            cancel.set()

    with pytest.raises(Cancelled):
        train(dataset_folder, out, config, listener=stop, cancel=cancel)
    assert not (out / "unet").exists()

    # Killed while the folder is saved after step 2, when the averaged weights are in the model; the
    # last checkpoint is of step 1.
    monkeypatch.setattr(jobs, "CHECKPOINT_EVERY_S", -1.0)

    def die(*_, **__) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_result, "write_grid", die)
    with pytest.raises(KeyboardInterrupt):
        train(dataset_folder, out, config)
    assert read_adapter_config(out, "geometry").metrics["step"] == 2

    monkeypatch.setattr(training_result, "write_grid", lambda *_, **__: None)
    train(dataset_folder, out, config)
    one, other = tensors(out), tensors(trained)
    assert [key for key in one if not torch.equal(one[key], other[key])] == []
    assert one.keys() == other.keys()


def test_a_given_base_stays_as_it_is(
    trained: Path, dataset_folder: Path, config: TrainingConfig, tmp_path: Path
) -> None:
    before, out = tensors(trained), tmp_path / "adapters"
    train(dataset_folder, out, config, base=str(trained))
    picture = np.asarray(Image.open(out.with_name("adapters.work") / "samples-albedo-000003.png"))
    assert picture.shape == (2 * 64, 4 * 64, 3) and picture[64:].std() > 2  # drawn above, the data below
    assert same(tensors(trained), before)
    assert not (out / "unet").exists()
    config_file = read_adapter_config(out, "albedo")
    assert config_file.base == str(trained)
    assert config_file.base_sha256 == sha256_of(trained / UNET_FILE)
    assert config_file.training["train_base"] is False
    # A checkpoint of a large frozen base every few seconds would be gigabytes.
    checkpoint = load_file(out.with_name("adapters.work") / "denoiser.safetensors")
    assert not [key for key in checkpoint if "unet" in key or "text_encoder" in key]
    prior, base = Prior.load(out, "geometry"), Prior.load(trained, "geometry")
    assert same(prior.denoiser.unet.state_dict(), base.denoiser.unet.state_dict())
    assert not same(prior.adapter.state_dict(), base.adapter.state_dict())
    assert "keeps its own" in (out / "card.md").read_text()


def test_unusable_requests_are_refused(
    trained: Path, dataset_folder: Path, config: TrainingConfig, tmp_path: Path
) -> None:
    out = tmp_path / "prior"
    with pytest.raises(InputError, match="no shards: run `id3d dataset` first"):
        train(tmp_path, out, config)
    with pytest.raises(InputError, match="embeddings have 128 numbers but the adapters want 512"):
        train(dataset_folder, out, replace(config, sizes=AdapterSizes(512)))
    with pytest.raises(InputError, match="unknown precision 'int8': choose one of auto, no, bf16, fp16"):
        train(dataset_folder, out, replace(config, precision="int8"))
    with pytest.raises(InputError, match="holds another training: delete it, or choose another"):
        train(dataset_folder, trained, replace(config, seed=5))


def test_a_base_of_another_size_is_refused(
    trained: Path, dataset_folder: Path, config: TrainingConfig, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    for path in trained.rglob("*.*"):
        target = base / path.relative_to(trained)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    settings = json.loads((base / "unet" / "config.json").read_text())
    (base / "unet" / "config.json").write_text(json.dumps(settings | {"sample_size": 64}))
    with pytest.raises(InputError, match="images are 64 px and the base works on 512 px"):
        train(dataset_folder, tmp_path / "prior", config, base=base)


def test_precision_is_chosen_by_the_device(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda: False)
    assert mixed_precision("auto") == "no"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert mixed_precision("auto") == "bf16"
    assert mixed_precision("bf16") == "bf16"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert mixed_precision("auto") == "bf16"
    assert TrainingConfig().precision == "auto"


def test_begins_from_another_prior(
    trained: Path, dataset_folder: Path, config: TrainingConfig, tmp_path: Path
) -> None:
    out, begun = tmp_path / "prior", shutil.copytree(trained, tmp_path / "begun")
    about = json.loads((begun / "unet" / "config.json").read_text())
    (begun / "unet" / "config.json").write_text(json.dumps(about | {"sample_size": 2 * about["sample_size"]}))
    still = replace(config.denoiser, steps=1, learning_rate=1e-7)
    train(dataset_folder, out, replace(config, vae=replace(config.vae, steps=0), denoiser=still), begin=begun)
    assert (image_size_of(begun), image_size_of(out)) == (128, 64)  # the dataset's
    before, after = tensors(trained), tensors(out)
    assert before.keys() == after.keys()
    weights = [key for key in before if not key.startswith("start")]
    # Half precision in the files is all that may be lost.
    assert all(torch.allclose(before[key], after[key], atol=2e-4, rtol=2e-3) for key in weights)


def test_a_frozen_base_has_nothing_to_begin_from(
    trained: Path, dataset_folder: Path, config: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="not both"):
        train(dataset_folder, tmp_path / "prior", config, base=trained, begin=trained)


def test_a_prior_listens_to_the_encoder_that_read_its_data(
    dataset_folder: Path, config: TrainingConfig, tmp_path: Path
) -> None:
    read_by_arcface(dataset_folder, tmp_path)
    with pytest.raises(InputError, match=r"have 512 numbers but the adapters want 128: .*\(--encoder\)"):
        train(tmp_path, tmp_path / "other", config)
    train(tmp_path, tmp_path / "prior", replace(config, sizes=AdapterSizes(512, rank=2)))
    for domain in DOMAINS:
        found = read_adapter_config(tmp_path / "prior", domain)
        assert (found.identity_encoder, found.identity_dimension) == ("arcface", 512)
    start = load_start(tmp_path / "prior")
    assert start is not None and (start.encoder, start.support.shape[1]) == ("arcface", 512)
    assert "ArcFace" in (tmp_path / "prior" / "card.md").read_text(encoding="utf-8")


def read_by_arcface(dataset: Path, out: Path) -> None:
    """The same renders with ArcFace-sized embeddings, drawn at random."""
    random = np.random.default_rng(0)
    for shard in find_shards(dataset):
        with tarfile.open(shard) as old, tarfile.open(out / shard.name, "w") as new:
            for member in old:
                data = old.extractfile(member).read()
                if member.name.endswith("identity.npy"):
                    rows = random.normal(size=(len(np.load(io.BytesIO(data))), 512)).astype(np.float32)
                    buffer = io.BytesIO()
                    np.save(buffer, rows / np.linalg.norm(rows, axis=1, keepdims=True))
                    data = buffer.getvalue()
                elif member.name.endswith(".json"):
                    data = json.dumps({**json.loads(data), "encoder": "arcface"}).encode()
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
