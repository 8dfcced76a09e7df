"""What makes large bases fit: activations computed again, 16-bit weights, tokens kept, 8-bit moments."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from id3d_engine.errors import InputError, MissingDependency
from id3d_engine.job import Job, Stepper
from id3d_engine.priors.adapters import Adapter, AdapterSizes
from id3d_engine.priors.noise import NoiseSchedule
from id3d_engine.priors.prompts import DOMAINS
from id3d_engine.priors.training import denoiser as denoiser_module
from id3d_engine.priors.training import result as training_result
from id3d_engine.priors.training import text_tokens
from id3d_engine.priors.training.curves import Curve
from id3d_engine.priors.training.data import TrainingData
from id3d_engine.priors.training.denoiser import Denoiser, DenoiserTraining, lacks_room, train_denoiser
from id3d_engine.priors.training.optimizers import make_optimizer
from id3d_engine.priors.training.parallel import start_processes
from id3d_engine.priors.training.text_tokens import TextTokens
from id3d_engine.priors.training.train import TrainingConfig, train

# The published configuration of Stable Diffusion 1.5's UNet.
SD15 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}


def gradients(base, *, checkpointing: bool) -> tuple[dict[str, torch.Tensor], int]:
    """Of every adapter weight after one pass a domain, and the bytes that the passes kept."""
    torch.manual_seed(0)
    parts = copy.deepcopy(base)
    adapters = {d: Adapter(parts.unet, AdapterSizes(8, rank=2)) for d in DOMAINS}
    for parameter in [p for a in adapters.values() for p in a.parameters()]:
        torch.nn.init.normal_(parameter, std=0.2)
    parts.unet.requires_grad_(False)
    if checkpointing:
        parts.unet.enable_gradient_checkpointing()
    model = Denoiser(parts.unet, adapters)
    inputs = (torch.randn(2, 4, 8, 8), torch.tensor([3, 700]), torch.randn(2, 24, 32), torch.randn(2, 8))
    kept = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    for domain in DOMAINS:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = model((domain,), *inputs, torch.randn(2, 24, 32))
        out.square().mean().backward()
    return {k: p.grad for k, p in model.adapters.named_parameters()}, kept


def test_checkpointing_gives_the_same_gradients_from_less_memory(base) -> None:
    plain, much = gradients(base, checkpointing=False)
    again, little = gradients(base, checkpointing=True)
    assert plain.keys() == again.keys()
    assert all(float(value.abs().max()) > 0 for value in plain.values())
    assert all(torch.allclose(plain[k], again[k], rtol=1e-5, atol=1e-8) for k in plain)
    assert little < 0.5 * much


def weights_after(base, data: TrainingData, config: DenoiserTraining) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    parts = copy.deepcopy(base)
    adapters = {d: Adapter(parts.unet, AdapterSizes(8, rank=2)) for d in DOMAINS}
    model = Denoiser(parts.unet, adapters)
    schedule, accelerator = NoiseSchedule.of(base.scheduler), start_processes("no")
    train_denoiser(
        model, parts.text_encoder, schedule, data, config, Job(), accelerator, Curve(None), lambda step: None
    )
    return model.adapters.state_dict()


def test_a_large_base_keeps_no_activations_where_memory_cannot_be_asked(
    base, four_samples: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Denoiser(base.unet, {d: Adapter(base.unet, AdapterSizes(8, rank=2)) for d in DOMAINS})
    accelerator, config = start_processes("no"), DenoiserTraining(batch=2)
    assert not lacks_room(model, four_samples, config, accelerator)
    monkeypatch.setattr(denoiser_module, "LARGE", 1000)
    assert lacks_room(model, four_samples, config, accelerator)


def test_passes_add_up_to_a_batch(base, four_samples: TrainingData) -> None:
    common = {"steps": 3, "learning_rate": 0.05, "train_base": False}
    one = weights_after(base, four_samples, DenoiserTraining(batch=8, **common))
    four = weights_after(base, four_samples, DenoiserTraining(batch=2, accumulate=4, **common))
    fresh = weights_after(base, four_samples, DenoiserTraining(batch=2, **{**common, "steps": 0}))
    moved = {k: (one[k] - fresh[k]).norm() for k in one}
    assert all(float((one[k] - four[k]).norm()) <= 0.02 * float(moved[k]) + 1e-6 for k in one)
    assert max(moved.values()) > 0.005


def test_the_encoder_reads_a_text_once(base, monkeypatch) -> None:
    texts = torch.arange(12).reshape(3, 4).repeat(1, 6)
    tokens = TextTokens(base.text_encoder.eval(), texts)
    found = tokens(torch.tensor([2, 0, 2]))
    with torch.no_grad():
        wanted = base.text_encoder(texts[[2, 0, 2]])[0]
    assert torch.allclose(found, wanted, atol=5e-3) and torch.equal(found[0], found[2])
    reads: list[int] = []
    base.text_encoder.register_forward_hook(lambda *_: reads.append(1))
    assert torch.equal(tokens(torch.tensor([2, 0, 2])), found) and not reads
    monkeypatch.setattr(text_tokens, "KEPT_BYTES", found[0].nbytes)  # of two, as float16
    tokens(torch.tensor([1]))
    assert torch.equal(tokens(torch.tensor([2, 0, 2])), found) and len(reads) == 3


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_frozen_base_may_weigh_16_bits(
    dataset_folder: Path, tiny_prior: Path, tmp_path: Path, monkeypatch, precision: str
) -> None:
    if precision == "fp16" and not torch.cuda.is_available():
        pytest.skip("accelerate has no fp16 on a CPU")
    seen = set()

    def look(self, *_: object) -> None:
        seen.add((self.parts.unet.dtype, next(self.adapters["albedo"].parameters()).dtype))

    monkeypatch.setattr(training_result.Result, "save", look)
    steps = DenoiserTraining(steps=2, batch=4, learning_rate=0.01)
    config = TrainingConfig(denoiser=steps, sizes=AdapterSizes(128, rank=2), precision=precision)
    train(dataset_folder, tmp_path / "prior", config, base=tiny_prior)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert seen == {(half, torch.float32)}
    state = load_file(tmp_path / "prior.work" / "denoiser.safetensors")
    moved = [v for k, v in state.items() if k.startswith("module") and k.endswith("to_v_exp.weight")]
    assert all(v.dtype == torch.float32 and v.isfinite().all() and v.abs().max() > 0 for v in moved)


def test_optimizers_that_cannot_be_had_say_so(monkeypatch) -> None:
    weight = [torch.nn.Parameter(torch.zeros(1))]
    with pytest.raises(InputError, match="unknown optimizer 'sgd': choose one of adamw, adamw8bit"):
        make_optimizer("sgd", weight, 1e-3, torch.device("cpu"))
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(MissingDependency, match=r"pip install 'id3d-engine\[train8bit\]'"):
        make_optimizer("adamw8bit", weight, 1e-3, torch.device("cpu"))


@pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="bitsandbytes is not installed")
def test_8_bit_moments_survive_a_checkpoint() -> None:
    def steps(stepper: Stepper, count: int) -> None:
        for _ in range(count):
            stepper.optimizer.zero_grad()
            stepper.module(torch.ones(4, 128)).square().mean().backward()
            stepper.optimizer.step()

    def fresh() -> Stepper:
        torch.manual_seed(0)
        module = torch.nn.Linear(128, 128)  # 8 bits from 4096 numbers on
        optimizer = make_optimizer("adamw8bit", list(module.parameters()), 1e-2, torch.device("cpu"))
        return Stepper(module, optimizer)

    through, stopped, resumed = fresh(), fresh(), fresh()
    steps(through, 6)
    steps(stopped, 3)
    kept = {key: value.clone() for key, value in stopped.tensors().items()}
    assert any(value.dtype == torch.uint8 for value in kept.values())
    resumed.restore(kept)
    steps(resumed, 3)
    assert torch.equal(through.module.weight, resumed.module.weight)


def test_the_domain_branch_is_a_five_hundredth_of_stable_diffusion_1_5() -> None:
    """The paper trains 0.2 %; identity and expression attention are counted apart, as IP-Adapter's are."""
    with init_empty_weights():
        unet = UNet2DConditionModel(**SD15)
    assert sum(p.numel() for p in unet.parameters()) == 859_520_964
    with torch.device("meta"):
        adapter = Adapter(unet, AdapterSizes(512))

    def share(name: str) -> float:
        return sum(p.numel() for k, p in adapter.named_parameters() if name in k) / 859_520_964

    low_rank = sum(share(f".{name}.{part}.") for name in ("to_q", "to_k", "to_v") for part in ("down", "up"))
    assert low_rank == pytest.approx(0.002, rel=0.05)
    assert share("image_proj") + low_rank + share("_id.") + share("_exp.") == pytest.approx(share(""))
    assert 0.04 < share("_id.") + share("_exp.") < 0.05
