from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from id3d_engine.errors import InputError
from id3d_engine.priors.adapters import (
    AdaptedUNet,
    Adapter,
    AdapterSizes,
    ConditionBranch,
    DomainBranch,
    answer,
    attention_layers,
    install,
    listen,
)
from id3d_engine.priors.base import Base

SIZES = AdapterSizes(identity_dimension=8, rank=2)


@pytest.fixture
def inputs() -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    shapes = ((2, 4, 8, 8), (2, 24, 32), (2, 8), (2, 24, 32))
    latents, text, identity, expression = (torch.randn(s, generator=g) for s in shapes)
    return latents, torch.tensor([30, 900]), text, identity, expression


def randomise(adapter: Adapter, scale: float = 0.3) -> Adapter:
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=g))
    return adapter


def asked(adapted: AdaptedUNet, latents: Tensor, t: Tensor, *told: Tensor) -> Tensor:
    return adapted(latents, t, adapted.heard(*told))


@torch.no_grad()
def test_a_fresh_adapter_leaves_the_base_bit_for_bit(base: Base, inputs: tuple[Tensor, ...]) -> None:
    latents, t, text, *_ = inputs
    plain = base.unet(latents, t, text).sample
    names = list(base.unet.state_dict())
    adapted = AdaptedUNet(base.unet, Adapter(base.unet, SIZES))
    assert torch.equal(asked(adapted, *inputs), plain)
    assert list(base.unet.state_dict()) == names
    randomise(adapted.adapter)
    assert not torch.allclose(asked(adapted, *inputs), plain, atol=1e-2)
    adapted.adapter.remove(base.unet)
    assert torch.equal(base.unet(latents, t, text).sample, plain)


@torch.no_grad()
def test_a_fused_adapter_answers_the_same(base: Base, inputs: tuple[Tensor, ...]) -> None:
    adapted = AdaptedUNet(base.unet, randomise(Adapter(base.unet, SIZES)))
    apart = asked(adapted, *inputs)
    adapted.adapter.fuse(base.unet)
    torch.testing.assert_close(asked(adapted, *inputs), apart, atol=1e-5, rtol=1e-5)
    adapted.adapter.lambda_id = 0.0
    assert not torch.allclose(asked(adapted, *inputs), apart, atol=1e-3)


@torch.no_grad()
def test_conditions_that_say_nothing_are_not_looked_at(base: Base, inputs: tuple[Tensor, ...]) -> None:
    adapted = AdaptedUNet(base.unet, randomise(Adapter(base.unet, SIZES)))
    for branch in adapted.adapter.layers.values():
        if isinstance(branch, ConditionBranch):
            branch.to_v_exp.weight.zero_()
    expected = asked(adapted, *inputs)
    adapted.adapter.fuse(base.unet)
    assert adapted.adapter.silent == {"exp"}
    heard = adapted.heard(*inputs[2:])
    assert {len(pairs) for pairs in heard.keys.values()} == {2}  # text and identity
    torch.testing.assert_close(adapted(*inputs[:2], heard), expected, atol=1e-5, rtol=1e-5)
    adapted.adapter.lambda_id = 0.0
    assert {len(pairs) for pairs in adapted.heard(*inputs[2:]).keys.values()} == {1}


@torch.no_grad()
def test_a_fused_adapter_that_changes_nothing_has_the_bases_weights(base: Base) -> None:
    unet = base.unet.half()
    adapter = Adapter(unet, SIZES)
    adapter.fuse(unet)
    for attention in attention_layers(unet).values():
        if not attention.is_cross_attention:
            own = torch.cat([getattr(attention, name).weight for name in ("to_q", "to_k", "to_v")])
            assert torch.equal(attention.processor.weight, own)


@torch.no_grad()
def test_two_domains_share_a_batch(base: Base, inputs: tuple[Tensor, ...]) -> None:
    first, second = randomise(Adapter(base.unet, SIZES)), randomise(Adapter(base.unet, SIZES), 0.1)
    second.lambda_id = 0.5
    latents, t, text, identity, expression = inputs
    apart = [
        asked(AdaptedUNet(base.unet, adapter), *(x[k : k + 1] for x in inputs))
        for k, adapter in enumerate((first, second))
    ]
    install(base.unet, [first, second])
    heard = listen(base.unet, [first, second], text, identity, expression)
    together = answer(base.unet, latents, t, heard)
    torch.testing.assert_close(together, torch.cat(apart), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[1], asked(AdaptedUNet(base.unet, first), *inputs)[1], atol=1e-3)


@torch.no_grad()
def test_each_condition_acts_through_its_own_strength(base: Base, inputs: tuple[Tensor, ...]) -> None:
    latents, t, text, identity, expression = inputs
    adapted = AdaptedUNet(base.unet, randomise(Adapter(base.unet, SIZES)))

    def changes(**other: Tensor) -> bool:
        given = {"identity": identity, "expression": expression}
        before, after = (adapted.heard(text, **told) for told in (given, {**given, **other}))
        return not torch.equal(adapted(latents, t, before), adapted(latents, t, after))

    assert changes(identity=identity + 1)
    assert changes(expression=expression + 1)
    adapted.adapter.lambda_id = 0.0
    assert not changes(identity=identity + 1)
    assert changes(expression=expression + 1)
    adapted.adapter.lambda_exp = 0.0
    assert not changes(expression=expression + 1)


@torch.no_grad()
def test_cross_attention_is_the_papers_sum(base: Base, inputs: tuple[Tensor, ...]) -> None:
    adapter = randomise(Adapter(base.unet, SIZES))
    adapter.lambda_id, adapter.lambda_exp = 0.7, 0.4
    adapter.install(base.unet)
    path, branch = next((p, b) for p, b in adapter.layers.items() if isinstance(b, ConditionBranch))
    attn = base.unet.get_submodule(path.replace("/", "."))
    x = torch.randn(2, 16, attn.query_dim)
    _, _, text, identity, expression = inputs
    tokens = adapter.image_proj(identity)

    def attention(keys: Tensor, values: Tensor) -> Tensor:
        """softmax(Q K' / sqrt(d)) V in float64, head by head."""
        query, d = attn.to_q(x).double(), attn.inner_dim // attn.heads
        parts = []
        for h in range(attn.heads):
            q, k, v = (a.double()[..., h * d : (h + 1) * d] for a in (query, keys, values))
            parts.append(((q @ k.transpose(1, 2)) / d**0.5).softmax(-1) @ v)
        return torch.cat(parts, -1)

    total = attention(attn.to_k(text), attn.to_v(text))
    total += 0.7 * attention(branch.to_k_id(tokens), branch.to_v_id(tokens))
    total += 0.4 * attention(branch.to_k_exp(expression), branch.to_v_exp(expression))
    expected = attn.to_out[0](total.float())
    heard = listen(base.unet, [adapter], text, identity, expression)
    got = attn(x, encoder_hidden_states=text, heard=heard.keys)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_self_attention_is_the_base_with_added_weights(base: Base) -> None:
    adapter = randomise(Adapter(base.unet, SIZES))
    path, branch = next((p, b) for p, b in adapter.layers.items() if isinstance(b, DomainBranch))
    attn = base.unet.get_submodule(path.replace("/", "."))
    x = torch.randn(2, 16, attn.query_dim)
    adapter.install(base.unet)
    got = attn(x)
    adapter.remove(base.unet)
    for name in ("to_q", "to_k", "to_v"):
        update = getattr(branch, name)
        getattr(attn, name).weight += update.up.weight @ update.down.weight
    torch.testing.assert_close(got, attn(x), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_batch_is_its_images_one_by_one(base: Base, inputs: tuple[Tensor, ...]) -> None:
    adapted = AdaptedUNet(base.unet, randomise(Adapter(base.unet, SIZES)))
    single = torch.cat([asked(adapted, *(x[i : i + 1] for x in inputs)) for i in range(2)])
    torch.testing.assert_close(asked(adapted, *inputs), single, atol=1e-5, rtol=1e-5)


def test_checkpointed_gradients_are_the_same(base: Base, inputs: tuple[Tensor, ...]) -> None:
    adapted = AdaptedUNet(base.unet, randomise(Adapter(base.unet, SIZES))).train()

    def gradients() -> list[Tensor]:
        adapted.zero_grad()
        asked(adapted, *inputs).square().sum().backward()
        return [p.grad.clone() for p in adapted.adapter.parameters()]

    plain = gradients()
    assert all(g.abs().sum() > 0 for g in plain)
    base.unet.enable_gradient_checkpointing()
    for a, b in zip(plain, gradients(), strict=True):
        torch.testing.assert_close(a, b)


def test_share_of_trained_weights_on_an_sd15_unet() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
        adapter = Adapter(unet, AdapterSizes(identity_dimension=512))
    total = sum(p.numel() for p in unet.parameters())
    assert total == pytest.approx(859.5e6, rel=1e-3)  # the published UNet's size
    low_rank = sum(
        p.numel() for b in adapter.layers.values() if isinstance(b, DomainBranch) for p in b.parameters()
    )
    conditions = sum(
        p.numel() for b in adapter.layers.values() if isinstance(b, ConditionBranch) for p in b.parameters()
    )
    assert low_rank / total == pytest.approx(0.002, rel=0.1)
    assert conditions / total == pytest.approx(0.0446, rel=0.01)  # identity and expression, 2.2 % each
    assert list(adapter.image_proj.state_dict()) == [
        "proj.0.weight", "proj.0.bias", "proj.2.weight", "proj.2.bias", "norm.weight", "norm.bias",
    ]  # fmt: skip
    assert adapter.image_proj.proj[2].weight.shape == (4 * 768, 1024)


def test_another_class_of_unet_is_refused() -> None:
    unet = UNet2DConditionModel(
        block_out_channels=(16,), norm_num_groups=4, layers_per_block=1, cross_attention_dim=8,
        down_block_types=("SimpleCrossAttnDownBlock2D",), up_block_types=("SimpleCrossAttnUpBlock2D",),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", attention_head_dim=8,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"cannot extend this UNet's layer 'down_blocks\.0\.attentions\.0'"):
        Adapter(unet, SIZES)


@pytest.mark.slow
@torch.no_grad()
def test_compiled_denoiser_answers_the_same(base: Base, inputs: tuple[Tensor, ...]) -> None:
    adapted = AdaptedUNet(base.unet, randomise(Adapter(base.unet, SIZES)))
    expected = asked(adapted, *inputs)
    adapted.unet = torch.compile(base.unet, backend="eager")
    torch.testing.assert_close(asked(adapted, *inputs), expected)
