from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from id3d_engine.errors import InputError
from id3d_engine.priors.adapters import AdaptedUNet, Adapter, AdapterSizes, attention_layers
from id3d_engine.priors.base import Base
from id3d_engine.priors.faceid import import_faceid, merge_faceid, read_faceid
from id3d_engine.priors.prior import Prior

DIMENSION, TOKENS, RANK = 8, 16, 2


@pytest.fixture
def faceid(base: Base) -> dict[str, Tensor]:
    """Random weights in the published layout, for the tiny UNet; 16 tokens as in Portrait."""
    g = torch.Generator().manual_seed(0)
    sizes = AdapterSizes(DIMENSION, TOKENS, projector_width=12)
    shapes = {
        f"image_proj.{k}": v.shape for k, v in Adapter(base.unet, sizes).image_proj.state_dict().items()
    }
    for i, attention in enumerate(attention_layers(base.unet).values()):
        for name in ("q", "k", "v", "out"):
            weight = (attention.to_out[0] if name == "out" else getattr(attention, f"to_{name}")).weight
            shapes[f"ip_adapter.{i}.to_{name}_lora.down.weight"] = (RANK, weight.shape[1])
            shapes[f"ip_adapter.{i}.to_{name}_lora.up.weight"] = (weight.shape[0], RANK)
        if attention.is_cross_attention:
            for name in ("k", "v"):
                shapes[f"ip_adapter.{i}.to_{name}_ip.weight"] = tuple(
                    getattr(attention, f"to_{name}").weight.shape
                )
    return {key: 0.3 * torch.randn(shape, generator=g) for key, shape in shapes.items()}


@torch.no_grad()
def test_folded_weights_answer_like_low_rank_layers_beside_the_base(
    base: Base, faceid: dict[str, Tensor]
) -> None:
    inputs = (
        torch.randn(1, 4, 8, 8),
        torch.tensor([500]),
        torch.randn(1, 24, 32),
        torch.randn(1, 8),
        torch.zeros(1, 24, 32),
    )
    adapted = AdaptedUNet(base.unet, Adapter(base.unet, AdapterSizes(DIMENSION, TOKENS, projector_width=12)))
    adapted.adapter.image_proj.load_state_dict(
        {k[11:]: v for k, v in faceid.items() if k.startswith("image_proj.")}
    )
    hooks = []
    for i, (path, attention) in enumerate(attention_layers(base.unet).items()):
        for name in ("q", "k", "v", "out"):
            linear = attention.to_out[0] if name == "out" else getattr(attention, f"to_{name}")
            down, up = (faceid[f"ip_adapter.{i}.to_{name}_lora.{part}.weight"] for part in ("down", "up"))
            hooks.append(linear.register_forward_hook(_beside(down, up)))
        if attention.is_cross_attention:
            branch = adapted.adapter.layers[path.replace(".", "/")]
            branch.to_k_id.weight.copy_(faceid[f"ip_adapter.{i}.to_k_ip.weight"])
            branch.to_v_id.weight.copy_(faceid[f"ip_adapter.{i}.to_v_ip.weight"])
    expected = adapted(*inputs)
    for hook in hooks:
        hook.remove()
    merged = AdaptedUNet(base.unet, merge_faceid(base.unet, faceid))
    torch.testing.assert_close(merged(*inputs), expected, atol=1e-4, rtol=1e-4)


def test_an_imported_prior_loads_and_listens_to_the_face(
    prior_folder: Path, faceid: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file(faceid, tmp_path / "faceid.safetensors")
    import_faceid(prior_folder, tmp_path / "faceid.safetensors", tmp_path / "prior", "geometry")
    prior = Prior.load(tmp_path / "prior", "geometry")
    assert prior.config.identity_encoder == "arcface"
    assert prior.config.identity_tokens == 16
    noisy, t = prior.noise(1), torch.tensor([500])
    one, other = (
        prior.predict(noisy, t, prior.conditions(face, None, "front view"))[0]
        for face in (torch.ones(8), -torch.ones(8))
    )
    assert not torch.allclose(one, other, atol=1e-3)


def test_other_files_are_refused(base: Base, faceid: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"faceid\.bin is not a safetensors file: convert it"):
        read_faceid(tmp_path / "faceid.bin")
    save_file({"weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    with pytest.raises(InputError, match=r"lora\.safetensors is not an IP-Adapter-FaceID file: use a FaceID"):
        read_faceid(tmp_path / "lora.safetensors")
    moved = {
        re.sub(r"ip_adapter\.(\d+)", lambda m: f"ip_adapter.{int(m[1]) + 5}", k): v for k, v in faceid.items()
    }
    count = len(attention_layers(base.unet))
    with pytest.raises(
        InputError, match=f"for {count + 5} attention layers .* the base has {count} and 32: use"
    ):
        merge_faceid(base.unet, moved)


def _beside(down: Tensor, up: Tensor):
    def add(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + args[0] @ down.T @ up.T

    return add
