from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

from id3d_engine.job import Job
from id3d_engine.priors.adapters import Adapter, AdapterSizes
from id3d_engine.priors.noise import NoiseSchedule
from id3d_engine.priors.prompts import DOMAINS
from id3d_engine.priors.training.curves import Curve
from id3d_engine.priors.training.data import TrainingData, draw
from id3d_engine.priors.training.denoiser import (
    Denoiser,
    DenoiserTraining,
    WeightAverage,
    standardise_identity,
    train_denoiser,
)
from id3d_engine.priors.training.parallel import start_processes


def test_each_condition_is_dropped_for_its_share_and_all_for_as_many(four_samples: TrainingData) -> None:
    count, d = 40_000, 0.2
    data = four_samples
    config = DenoiserTraining(dropped=d, uncaptioned=0.3)
    batch = draw(data, "albedo", count, config, torch.Generator().manual_seed(0))
    text = batch.text == 5
    identity = (batch.identity == 0).all(1)
    expression = batch.expression == 5
    tolerance = 4 * 0.5 / count**0.5
    for one in (text, identity, expression):
        assert float(one.float().mean()) == pytest.approx(1 - (1 - d) ** 2, abs=tolerance)
    for a, b in ((text, identity), (identity, expression), (text, expression)):
        assert float((a & b).float().mean()) == pytest.approx(d + (1 - d) * d**2, abs=tolerance)
    everything = (text & identity & expression).float().mean()
    assert float(everything) == pytest.approx(d + (1 - d) * d**3, abs=tolerance)
    bare = batch.text[~text] >= 40
    assert float(bare.float().mean()) == pytest.approx(0.3, abs=tolerance)


def test_a_row_keeps_its_own_conditions(four_samples: TrainingData) -> None:
    data = four_samples
    everything = DenoiserTraining(dropped=0.0, uncaptioned=0.0)
    batch = draw(data, "geometry", 200, everything, torch.Generator().manual_seed(1))
    row = batch.text - 10
    assert set(row.tolist()) == {0, 1, 2, 3}
    assert torch.equal(batch.rows, row)
    assert torch.equal(batch.expression, 30 + row % 3)
    own = (batch.identity[:, None] == data.identity[row // 2]).all(2)
    assert torch.equal(own.sum(1), torch.ones(200, dtype=torch.long))
    assert own.any(0).all()  # every photo has its turn
    plain = draw(data, "geometry", 200, everything, torch.Generator().manual_seed(1), plain=True)
    assert torch.equal(plain.text - 20, row)


def test_the_average_is_the_sum_it_stands_for() -> None:
    generator = torch.Generator().manual_seed(0)
    history = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    parameter = torch.nn.Parameter(history[0].clone())
    average = WeightAverage([parameter], half_life=7.0)
    decay = [min(0.5 ** (1 / 7), (1 + s) / (10 + s)) for s in range(39)]
    for step in range(39):
        with torch.no_grad():
            parameter.copy_(history[step + 1])
        average.update(step)
    expected = history[0] * torch.tensor(decay, dtype=torch.float64).prod()
    for step in range(39):
        later = torch.tensor(decay[step + 1 :], dtype=torch.float64).prod()
        expected = expected + (1 - decay[step]) * later * history[step + 1]
    assert torch.allclose(average.values[0], expected, atol=1e-12)


def test_half_of_the_average_is_younger_than_its_half_life() -> None:
    parameter = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    average = WeightAverage([parameter], half_life=12.0)
    with torch.no_grad():
        parameter.zero_()
    for step in range(1000, 1012):
        average.update(step)
    assert float(average.values[0]) == pytest.approx(0.5)
    average.swap()
    assert float(parameter.detach()) == pytest.approx(0.5) and float(average.values[0]) == 0
    average.swap()
    assert float(parameter.detach()) == 0


def test_standardising_is_a_change_of_variable(base) -> None:
    torch.manual_seed(0)
    plain = Adapter(base.unet, AdapterSizes(8, rank=2)).double()
    folded = copy.deepcopy(plain)
    embeddings = 3 + torch.randn(50, 8).double() * torch.tensor([0.1, 2.0, 1, 1, 1, 1, 1, 0.0])
    standardise_identity(folded, embeddings)
    spread = embeddings.std(0, correction=0).clamp(min=1e-4)
    expected = plain.image_proj((embeddings - embeddings.mean(0)) / spread)
    assert torch.allclose(folded.image_proj(embeddings), expected, atol=1e-9)
    assert folded.state_dict().keys() == plain.state_dict().keys()


def fit(
    base, data: TrainingData, config: DenoiserTraining, folder: Path | None = None, precision: str = "no"
):
    torch.manual_seed(0)
    adapters = {d: Adapter(base.unet, AdapterSizes(8, rank=2)) for d in DOMAINS}
    model = Denoiser(base.unet, adapters)
    saved = []
    schedule = NoiseSchedule.of(base.scheduler)
    curve = Curve(None if folder is None else folder / "curve.jsonl", every=10)
    accelerator = start_processes(precision)
    train_denoiser(model, base.text_encoder, schedule, data, config, Job(), accelerator, curve, saved.append)
    return model, saved, curve


def test_a_frozen_base_is_bit_equal_afterwards(base, four_samples: TrainingData) -> None:
    before = {k: v.clone() for part in (base.unet, base.text_encoder) for k, v in part.state_dict().items()}
    model, saved, _ = fit(base, four_samples, DenoiserTraining(steps=2, batch=1, train_base=False))
    after = {k: v for part in (base.unet, base.text_encoder) for k, v in part.state_dict().items()}
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert model.adapters["albedo"].image_proj.proj[0].weight.grad is not None
    assert saved == [2]


def test_half_the_bits_have_the_same_gradients(base, four_samples: TrainingData) -> None:
    config = DenoiserTraining(steps=1, batch=4, train_base=False)
    gradients = []
    for precision in ("no", "bf16"):
        model, _, _ = fit(base, four_samples, config, precision=precision)
        moved = [p.grad.flatten() for p in model.adapters.parameters() if p.grad is not None]
        gradients.append(torch.cat(moved).double())
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99


def test_training_learns(base, tmp_path: Path, four_samples: TrainingData) -> None:
    config = DenoiserTraining(steps=20, batch=4, learning_rate=2e-2, plain_every=10)
    _, saved, curve = fit(base, four_samples, config, tmp_path)
    first = json.loads((tmp_path / "curve.jsonl").read_text().splitlines()[0])
    assert curve.last()["geometry"] < 0.95 * first["geometry"]
    assert curve.last()["step"] == 20
    assert set(curve.last()) == {"step", "plain", *DOMAINS}
    assert saved == [20]
