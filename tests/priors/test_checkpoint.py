"""Single-file checkpoints: a tiny model of the true architecture, written out as the original code would."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from id3d_engine.errors import InputError
from id3d_engine.priors.base import Base, load_base, save_base
from id3d_engine.priors.checkpoint import convert_checkpoint
from id3d_engine.priors.noise import NoiseSchedule

WIDTH, LAYERS = 16, 2
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def make_base(tokenizer: object, *, second: bool) -> Base:
    """Stable Diffusion 1.x's layers, or 2.x's, with few channels and random weights."""
    blocks = ("CrossAttnDownBlock2D",) * 3
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8, 16, 16),
        norm_num_groups=4,
        down_block_types=(*blocks, "DownBlock2D"),
        up_block_types=("UpBlock2D", *(block.replace("Down", "Up") for block in blocks)),
        layers_per_block=LAYERS,
        cross_attention_dim=WIDTH,
        attention_head_dim=(2, 2, 4, 4) if second else 2,
        use_linear_projection=second,
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
    )
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),  # type: ignore[arg-type]
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=24,
    )
    prediction = "v_prediction" if second else "epsilon"
    scheduler = DDIMScheduler(prediction_type=prediction, steps_offset=1, clip_sample=False)
    return Base(unet, vae, CLIPTextModel(text), tokenizer, scheduler)  # type: ignore[arg-type]


def original(base: Base, *, second: bool) -> dict[str, Tensor]:
    """The base's weights under the original code's names, with what checkpoints hold besides."""
    found = {f"model.diffusion_model.{_unet_key(k)}": v for k, v in base.unet.state_dict().items()}
    for key, value in base.vae.state_dict().items():
        name = _vae_key(key)
        attention = ".attn_1." in name and value.ndim == 2
        found[f"first_stage_model.{name}"] = value[..., None, None] if attention else value
    text = {key.removeprefix("text_model."): value for key, value in base.text_encoder.state_dict().items()}
    found |= _open_clip(text) if second else _clip(text)
    found |= {"betas": torch.ones(1000), "model_ema.decay": torch.ones(1)}
    return {key: value.contiguous() for key, value in found.items()}


def _unet_key(key: str) -> str:
    step = LAYERS + 1
    key = re.sub(r"^time_embedding\.linear_(\d)", lambda m: f"time_embed.{2 * int(m[1]) - 2}", key)
    key = re.sub(r"^conv_in", "input_blocks.0.0", key)
    key = re.sub(r"^conv_norm_out", "out.0", key)
    key = re.sub(r"^conv_out", "out.2", key)

    def block(m: re.Match[str]) -> str:
        side, b, kind, n = m[1], int(m[2]), m[3], int(m[4])
        if kind == "downsamplers":
            return f"input_blocks.{(b + 1) * step}.0.op"
        if kind == "upsamplers":
            return f"output_blocks.{b * step + LAYERS}.{1 if b == 0 else 2}.conv"
        place = f"input_blocks.{1 + b * step + n}" if side == "down" else f"output_blocks.{b * step + n}"
        return f"{place}.{'0' if kind == 'resnets' else '1'}"

    key = re.sub(r"^(down|up)_blocks\.(\d)\.(\w+)\.(\d)(?:(?<=samplers\.0)\.conv)?", block, key)
    key = re.sub(r"^mid_block\.resnets\.(\d)", lambda m: f"middle_block.{2 * int(m[1])}", key)
    key = key.replace("mid_block.attentions.0", "middle_block.1")
    if re.match(r"(input_blocks|output_blocks)\.\d+\.0\.|middle_block\.[02]\.", key):
        for new, old in RESNET.items():
            key = re.sub(rf"\.{new}\.", f".{old}.", key)
    return key


def _vae_key(key: str) -> str:
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{3 - int(m[1])}.block", key)
    key = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    key = key.replace("mid_block.attentions.0", "mid.attn_1")
    if "attn_1" in key:
        for new, old in ATTENTION.items():
            key = key.replace(f".{new}.", f".{old}.")
    return key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def _clip(text: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "cond_stage_model.transformer.text_model."
    ids = {f"{prefix}embeddings.position_ids": torch.arange(24)[None]}
    return {f"{prefix}{key}": value for key, value in text.items()} | ids


def _open_clip(text: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "cond_stage_model.model."
    names = {
        "embeddings.position_embedding.weight": "positional_embedding",
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    parts = {"layer_norm": "ln_", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn": "attn"}
    found: dict[str, Tensor] = {}
    for key, value in text.items():
        if re.search(r"[qkv]_proj", key):
            if "q_proj" in key:
                whole = torch.cat([text[key.replace("q_proj", f"{x}_proj")] for x in "qkv"])
                layer, kind = key.split(".")[2], key.rpartition(".")[2]
                found[f"{prefix}transformer.resblocks.{layer}.attn.in_proj_{kind}"] = whole
            continue
        name = names.get(key)
        if name is None:
            name = key.replace("encoder.layers.", "transformer.resblocks.")
            for new, old in parts.items():
                name = name.replace(new, old)
        found[prefix + name] = value
    # The pipeline uses the last layer but one.
    found[f"{prefix}transformer.resblocks.23.ln_1.weight"] = torch.ones(WIDTH)
    found[f"{prefix}text_projection"] = torch.ones(WIDTH, WIDTH)
    found[f"{prefix}logit_scale"] = torch.ones(())
    return found


@pytest.fixture
def make(base: Base, tmp_path: Path) -> Callable[..., tuple[Path, Base]]:
    """make(second=False): a pipeline folder to be like, and another base of its class."""

    def pair(*, second: bool) -> tuple[Path, Base]:
        torch.manual_seed(int(second))
        like = tmp_path / f"like{second}"
        save_base(make_base(base.tokenizer, second=second), like)
        return like, make_base(base.tokenizer, second=second)

    return pair


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_checkpoint_becomes_the_pipeline_it_was_made_of(
    make: Callable[..., tuple[Path, Base]], tmp_path: Path, second: bool, dtype: torch.dtype
) -> None:
    like, published = make(second=second)
    weights = {key: value.to(dtype) for key, value in original(published, second=second).items()}
    save_file(weights, tmp_path / "checkpoint.safetensors")
    convert_checkpoint(tmp_path / "checkpoint.safetensors", like, tmp_path / "out")
    found = load_base(tmp_path / "out")
    for name in ("unet", "vae", "text_encoder"):
        want, have = (getattr(b, name).state_dict() for b in (published, found))
        assert want.keys() == have.keys()
        for key, value in want.items():
            assert torch.equal(have[key], value.to(dtype).half().float()), f"{name}: {key}"
    assert found.scheduler.config.prediction_type == ("v_prediction" if second else "epsilon")
    weights = load_file(tmp_path / "out" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}


def test_partial_checkpoints_and_those_of_another_class_name_their_keys(
    make: Callable[..., tuple[Path, Base]], tmp_path: Path
) -> None:
    like, published = make(second=False)
    whole = original(published, second=False)
    path = tmp_path / "checkpoint.safetensors"

    def refused(weights: dict[str, Tensor], sentence: str) -> None:
        save_file(weights, path)
        with pytest.raises(InputError, match=sentence):
            convert_checkpoint(path, like, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def without(start: str) -> dict[str, Tensor]:
        return {key: value for key, value in whole.items() if not key.startswith(start)}

    refused(
        without("model.diffusion_model.input_blocks.1.0.in_layers.2.weight"),
        r"checkpoint\.safetensors is partial, or of another class than likeFalse: unet: missing"
        r" down_blocks\.0\.resnets\.0\.conv1\.weight; get the file again, or name another --like",
    )
    refused(
        without("model.diffusion_model.output_blocks.5.2.conv.bias"), r"unet: missing output_blocks\.5\.2"
    )
    refused(without("cond_stage_model."), r"text_encoder: missing .*; text_encoder: missing .*; and \d+ more")
    refused(without("first_stage_model."), r"vae: missing")
    refused(
        original(make(second=True)[1], second=True),
        r"proj_in\.weight is \(8, 8\), likeFalse needs \(8, 8, 1, 1\)",
    )


def test_pipelines_of_earlier_years_are_read_as_they_are(base: Base, tmp_path: Path) -> None:
    # Other names for the autoencoder's attention, a stored buffer, another sampler's configuration.
    torch.manual_seed(0)
    published = make_base(base.tokenizer, second=False)
    save_base(published, tmp_path, torch.float32)
    vae, text = tmp_path / "vae" / "diffusion_pytorch_model.safetensors", tmp_path / "text_encoder"
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(vae)
    for new, old in names.items():
        weights = {
            k.replace(f".{new}.", f".{old}.") if "attentions" in k else k: v for k, v in weights.items()
        }
    assert any("proj_attn" in key for key in weights)
    save_file(weights, vae, metadata={"format": "pt"})
    weights = load_file(text / "model.safetensors")
    weights = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in weights.items()}
    weights["text_model.embeddings.position_ids"] = torch.arange(24)[None]
    save_file(weights, text / "model.safetensors", metadata={"format": "pt"})
    sampler = {
        "_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1,
        "beta_schedule": "scaled_linear", "skip_prk_steps": True, "clip_sample": False,
    }  # fmt: skip
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(sampler))
    found = load_base(tmp_path)
    for name in ("unet", "vae", "text_encoder"):
        want, have = (getattr(b, name).state_dict() for b in (published, found))
        assert all(torch.equal(have[key], value) for key, value in want.items())
    schedule = NoiseSchedule.of(found.scheduler)
    assert (schedule.prediction, round(float(schedule.abar[-1]), 4)) == ("epsilon", 0.0047)
