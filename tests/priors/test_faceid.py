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
from id3d_engine.priors.faceid import adapter_of, read_faceid
from id3d_engine.priors.low_rank import fold, linear_of


@torch.no_grad()
def test_the_whole_answers_like_low_rank_layers_beside_the_base(
    base: Base, faceid: dict[str, Tensor]
) -> None:
    inputs = (
        torch.randn(1, 4, 8, 8),
        torch.tensor([500]),
        torch.randn(1, 24, 32),
        torch.randn(1, 8),
        torch.zeros(1, 24, 32),
    )
    adapted = AdaptedUNet(base.unet, Adapter(base.unet, AdapterSizes(8, 4, projector_width=12)))
    adapted.adapter.image_proj.load_state_dict(
        {k[11:]: v for k, v in faceid.items() if k.startswith("image_proj.")}
    )
    hooks = []
    for i, (path, attention) in enumerate(attention_layers(base.unet).items()):
        for name in ("to_q", "to_k", "to_v", "to_out"):
            down, up = (faceid[f"ip_adapter.{i}.{name}_lora.{part}.weight"] for part in ("down", "up"))
            hooks.append(linear_of(attention, name).register_forward_hook(_beside(down, up)))
        if attention.is_cross_attention:
            branch = adapted.adapter.layers[path.replace(".", "/")]
            branch.to_k_id.weight.copy_(faceid[f"ip_adapter.{i}.to_k_ip.weight"])
            branch.to_v_id.weight.copy_(faceid[f"ip_adapter.{i}.to_v_ip.weight"])
    expected = adapted(*inputs[:2], adapted.heard(*inputs[2:]))
    for hook in hooks:
        hook.remove()
    adapter, updates = adapter_of(base.unet, faceid)
    assert len(updates) == 8 * len(attention_layers(base.unet))
    fold(base.unet, updates)
    adapted = AdaptedUNet(base.unet, adapter)
    found = adapted(*inputs[:2], adapted.heard(*inputs[2:]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_portrait_has_more_tokens_and_leaves_the_base_alone(base: Base, portrait: dict[str, Tensor]) -> None:
    adapter, updates = adapter_of(base.unet, portrait)
    assert (adapter.sizes.identity_tokens, adapter.sizes.projector_width, updates) == (16, 12, {})


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"faceid\.bin is not a safetensors file.*never opened: run `id3d mo"
    ):
        read_faceid(tmp_path / "faceid.bin")
    path = tmp_path / "lora.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"lora\.safetensors is not an IP-Adapter-FaceID file: use a FaceID"):
        read_faceid(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"lora\.safetensors cannot be read .*: get the file again"):
        read_faceid(path)


def test_a_partial_file_is_named_key_by_key(base: Base, faceid: dict[str, Tensor]) -> None:
    for gone in ("ip_adapter.1.to_k_ip.weight", "ip_adapter.0.to_q_lora.up.weight", "image_proj.norm.bias"):
        partial = {key: value for key, value in faceid.items() if key != gone}
        with pytest.raises(InputError, match=f"do not fit this base .*: missing {re.escape(gone)}; get the"):
            adapter_of(base.unet, partial)
    with pytest.raises(InputError, match=r"without a whole image_proj\.proj: get the file again"):
        adapter_of(base.unet, {k: v for k, v in faceid.items() if "proj.2" not in k})
    no_layer = {k: v for k, v in faceid.items() if not k.startswith("ip_adapter.1.")}
    with pytest.raises(
        InputError, match=r"missing .*; missing .*; missing .*; and 7 more; get the file again"
    ):
        adapter_of(base.unet, no_layer)


def test_weights_for_another_base_are_named(base: Base, faceid: dict[str, Tensor]) -> None:
    count = len(attention_layers(base.unet))
    moved = {
        re.sub(r"ip_adapter\.(\d+)", lambda m: f"ip_adapter.{int(m[1]) + 5}", k): v for k, v in faceid.items()
    }
    with pytest.raises(
        InputError, match=rf"\({count + 5} attention layers in the file, {count} in the base\): missing"
    ):
        adapter_of(base.unet, moved)
    with pytest.raises(
        InputError, match=r"have 2048 numbers a token and the base has 32: .*SDXL \(2048\) are"
    ):
        adapter_of(base.unet, {**faceid, "image_proj.norm.weight": torch.ones(2048)})
    key = "ip_adapter.1.to_v_ip.weight"
    with pytest.raises(InputError, match=rf"{re.escape(key)} is \(3, 4\), the base needs"):
        adapter_of(base.unet, {**faceid, key: torch.ones(3, 4)})


def test_updates_that_do_not_fit_are_refused(base: Base, faceid: dict[str, Tensor]) -> None:
    before = {key: value.clone() for key, value in base.unet.state_dict().items()}
    _, updates = adapter_of(base.unet, faceid)
    stem = next(iter(updates)).rpartition(".")[0]
    with pytest.raises(InputError, match=rf"do not fit this base: missing {re.escape(stem)}\.down"):
        fold(base.unet, {key: value for key, value in updates.items() if key != f"{stem}.down"})
    with pytest.raises(InputError, match=r"do not fit this base: unexpected base\.nowhere\.to_q\.up"):
        fold(base.unet, {**updates, "base.nowhere.to_q.up": torch.ones(1, 1)})
    assert all(torch.equal(before[key], value) for key, value in base.unet.state_dict().items())


def _beside(down: Tensor, up: Tensor):
    def add(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + args[0] @ down.T @ up.T

    return add
