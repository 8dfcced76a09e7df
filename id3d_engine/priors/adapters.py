"""ID-to-3D's adapter: what turns one text-to-image model into `phi_g` (normals) or `phi_a` (albedo).

Two changes to a frozen UNet, both as diffusers attention processors (ID-to-3D, arXiv 2405.16570):

- Self-attention, per domain: `Q = X W_Q + X W_Q^n`, likewise K and V, each `W^n` of low rank.
- Cross-attention, decoupled: `Att(Q, K_text, V_text) + lambda_id Att(Q, K_id, V_id)
  + lambda_exp Att(Q, K_exp, V_exp)`. Identity tokens are a projection of the face embedding (the
  layout of IP-Adapter-FaceID's `image_proj`); expression tokens are the pipeline's own CLIP text
  encoder on the expression's descriptor.

A fresh adapter changes nothing: every added path ends in zero weights.

    adapter = Adapter(unet, AdapterSizes(identity_dimension=128))      # owns all trained weights
    denoiser = AdaptedUNet(unet, adapter)                              # installs the processors
    heard = denoiser.heard(text_tokens, identity, expression_tokens)   # once for all steps of a batch
    denoiser(latents, t, heard)                                        # (B,4,h,w) raw prediction
    adapter.lambda_id, adapter.lambda_exp = 0.8, 1.0                   # for what is heard from now on
    adapter.fuse(unet)                     # for use: one projection a self-attention, as fast as the base
    adapter.remove(unet)                                               # the base again

The processors are plain objects, so `unet.state_dict()` and `unet.parameters()` stay the base's.
Keys and values of conditions do not depend on the image: they are made once and reach the processors
through diffusers' `cross_attention_kwargs`, plain function arguments, hence safe with gradient
checkpointing, torch.compile, threads and any batch size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

from ..errors import InputError
from .base import UNet

CONDITIONS = ("id", "exp")


@dataclass(frozen=True)
class AdapterSizes:
    """What decides the shapes of an adapter's weights, beside the UNet.

    Attributes:
        identity_dimension: Numbers of one identity embedding (dlib 128, ArcFace 512).
        identity_tokens: Tokens made of them.
        rank: Of every self-attention update. 24 is 0.2 % of an SD 1.5 UNet.
        projector_width: Hidden width of the identity projector; None is twice the dimension.
    """

    identity_dimension: int
    identity_tokens: int = 4
    rank: int = 24
    projector_width: int | None = None


class IdentityProjector(nn.Module):
    """(B, D) identity embeddings -> (B, N, C) tokens: Linear, GELU, Linear, LayerNorm.

    Names and layout of IP-Adapter-FaceID's `image_proj`. No identity is the projection of zeros.
    """

    def __init__(self, dimension: int, tokens: int, width: int, hidden: int | None = None) -> None:
        super().__init__()
        self.dimension, self.tokens, self.width = dimension, tokens, width
        hidden = hidden or 2 * dimension
        self.proj = nn.Sequential(nn.Linear(dimension, hidden), nn.GELU(), nn.Linear(hidden, width * tokens))
        self.norm = nn.LayerNorm(width)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.norm(self.proj(embedding).reshape(-1, self.tokens, self.width))


class LowRank(nn.Module):
    """`X W^n` with `W^n` = down then up; up starts at zero."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)
        nn.init.normal_(self.down.weight, std=inputs**-0.5)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x))

    def whole(self) -> Tensor:
        """(outputs, inputs) W^n itself, as a linear layer's weight, in float32."""
        return self.up.weight.float() @ self.down.weight.float()


class DomainBranch(nn.Module):
    """The weights that one self-attention layer gains."""

    def __init__(self, attention: Attention, rank: int) -> None:
        super().__init__()
        self.to_q = LowRank(attention.query_dim, attention.inner_dim, rank)
        self.to_k = LowRank(attention.query_dim, attention.inner_kv_dim, rank)
        self.to_v = LowRank(attention.query_dim, attention.inner_kv_dim, rank)


class ConditionBranch(nn.Module):
    """The weights that one cross-attention layer gains: keys and values for identity and expression.

    Keys start as the base's text keys, values at zero.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        shape = (attention.cross_attention_dim, attention.inner_kv_dim)
        self.to_k_id, self.to_v_id = nn.Linear(*shape, bias=False), nn.Linear(*shape, bias=False)
        self.to_k_exp, self.to_v_exp = nn.Linear(*shape, bias=False), nn.Linear(*shape, bias=False)
        for key, value in ((self.to_k_id, self.to_v_id), (self.to_k_exp, self.to_v_exp)):
            with torch.no_grad():
                key.weight.copy_(attention.to_k.weight)
            nn.init.zeros_(value.weight)


class Adapter(nn.Module):
    """Every trained weight of one domain: `image_proj`, and one branch a UNet attention layer.

    Args:
        unet: Any SD 1.x/2.x-class UNet; only its shapes and text keys are read.
        sizes: See `AdapterSizes`.

    Raises:
        InputError: the UNet has attention layers of another class (SDXL's or DeepFloyd's, say).
    """

    def __init__(self, unet: UNet, sizes: AdapterSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.lambda_id = 1.0
        self.lambda_exp = 1.0
        self.silent: frozenset[str] = frozenset()
        self.image_proj = IdentityProjector(
            sizes.identity_dimension,
            sizes.identity_tokens,
            unet.config.cross_attention_dim,
            sizes.projector_width,
        )
        # Module names hold no dots, so a layer's path is kept with slashes and its file key too.
        self.layers = nn.ModuleDict()
        for path, attention in attention_layers(unet).items():
            branch = (
                ConditionBranch(attention)
                if attention.is_cross_attention
                else DomainBranch(attention, sizes.rank)
            )
            self.layers[path.replace(".", "/")] = branch

    def install(self, unet: UNet) -> None:
        """Put this adapter's processors into `unet`, in place of whatever is there."""
        install(unet, [self])

    def branch(self, path: str) -> Any:
        """The weights that one attention layer gains, by the layer's path in the UNet."""
        return self.layers[path.replace(".", "/")]

    def fuse(self, unet: UNet) -> None:
        """Like `install`, for weights that rest: self-attention projects once, the domain's update added in,
        and conditions whose values are all zero are not looked at.

        Call it when base and adapter have their final device and dtype.
        """
        self.install(unet)
        heard = set()
        for path, attention in attention_layers(unet).items():
            if attention.is_cross_attention:
                heard |= {k for k in CONDITIONS if getattr(self.branch(path), f"to_v_{k}").weight.any()}
            else:
                attention.set_processor(FusedSelfAttention(attention, self.branch(path)))
        self.silent = frozenset(CONDITIONS) - heard

    @staticmethod
    def remove(unet: UNet) -> None:
        """Give `unet` its own attention back."""
        unet.set_attn_processor(AttnProcessor2_0())


def install(unet: UNet, adapters: Sequence[Adapter]) -> None:
    """Put the processors of one or several domains into `unet`, in place of whatever is there.

    Of several, each has an equal share of a batch's rows, one after another.
    """
    for path, attention in attention_layers(unet).items():
        branches = [adapter.branch(path) for adapter in adapters]
        if attention.is_cross_attention:
            attention.set_processor(ConditionedCrossAttention(path))
        else:
            attention.set_processor(DomainSelfAttention(branches))


@dataclass(frozen=True, eq=False)
class Heard:
    """What a UNet's cross-attention is told of B images.

    Attributes:
        text: (B, L, C) tokens.
        keys: Path of a layer -> keys and values (B, M, heads*d) of the text, then of what else is heard.
    """

    text: Tensor
    keys: dict[str, list[tuple[Tensor, Tensor]]]


def listen(
    unet: UNet, adapters: Sequence[Adapter], text: Tensor, identity: Tensor, expression: Tensor
) -> Heard:
    """Conditions as one or several domains hear them, each its equal share of the rows.

    Args:
        unet: With the adapters installed.
        adapters: Of the domains.
        text: (B, L, C) text tokens.
        identity: (B, D) embeddings; a row of zeros is "no identity".
        expression: (B, L', C) expression tokens; those of "" are "no expression".
    """
    added = {}
    for kind in CONDITIONS:
        strengths = [getattr(adapter, f"lambda_{kind}") for adapter in adapters]
        if any(s and kind not in a.silent for s, a in zip(strengths, adapters, strict=True)):
            added[kind] = strengths
    tokens = {"exp": expression}
    if "id" in added:
        tokens["id"] = _shared([adapter.image_proj for adapter in adapters], identity)
    keys = {}
    for path, attn in attention_layers(unet).items():
        if attn.is_cross_attention:
            own = attn.norm_encoder_hidden_states(text) if attn.norm_cross else text
            keys[path] = [(_projected(attn.to_k, own), _projected(attn.to_v, own))]
            branches = [adapter.branch(path) for adapter in adapters]
            # The strengths scale the values: the same sum, and there are fewer of them than of queries.
            for kind, strengths in added.items():
                to_k, to_v = ([getattr(branch, f"to_{x}_{kind}") for branch in branches] for x in "kv")
                keys[path].append(
                    (_shared(to_k, tokens[kind]), _shared(to_v, tokens[kind], strengths)),
                )
    return Heard(text, keys)


def answer(unet: UNet, latents: Tensor, t: Tensor, heard: Heard) -> Tensor:
    """(B, 4, h, w): the UNet's raw prediction, with adapters installed.

    Args:
        unet: With the adapters installed.
        latents: (B, 4, h, w) noised, scaled latents.
        t: (B,) integer timesteps.
        heard: See `listen`.
    """
    told = {"encoder_hidden_states": heard.text, "cross_attention_kwargs": {"heard": heard.keys}}
    return unet(latents, t, **told, return_dict=False)[0]


class AdaptedUNet(nn.Module):
    """A UNet with an adapter installed."""

    def __init__(self, unet: UNet, adapter: Adapter) -> None:
        super().__init__()
        self.unet, self.adapter = unet, adapter
        adapter.install(unet)

    def heard(self, text: Tensor, identity: Tensor, expression: Tensor) -> Heard:
        """See `listen`."""
        return listen(self.unet, [self.adapter], text, identity, expression)

    def forward(self, latents: Tensor, t: Tensor, heard: Heard) -> Tensor:
        """See `answer`: epsilon or v, as the base's scheduler says."""
        return answer(self.unet, latents, t, heard)


class DomainSelfAttention:
    """Attention processor: self-attention with the domain's additive Q, K and V."""

    def __init__(self, branches: Sequence[DomainBranch]) -> None:
        self.branches = branches

    def projected(self, attn: Attention, x: Tensor) -> Sequence[Tensor]:
        """(B, N, C) -> Q, K and V."""
        return [
            getattr(attn, name)(x) + _shared([getattr(branch, name) for branch in self.branches], x)
            for name in ("to_q", "to_k", "to_v")
        ]

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        heard: object = None,  # diffusers tells all processors all there is
    ) -> Tensor:
        query, key, value = self.projected(attn, hidden_states)
        mask = _mask(attn, attention_mask, hidden_states)
        return _finish(attn, _attend(attn, query, key, value, mask), hidden_states)


class FusedSelfAttention(DomainSelfAttention, nn.Module):
    """The same with resting weights, as one projection to Q, K and V.

    W + W^n is added up in float32, so a domain that changes nothing leaves the base's very weights. The sum
    goes wherever the UNet goes, and is no part of its `state_dict()`.
    """

    weight: Tensor
    bias: Tensor | None

    @torch.no_grad()
    def __init__(self, attention: Attention, branch: DomainBranch) -> None:
        nn.Module.__init__(self)
        self.branches = [branch]
        pairs = [(getattr(attention, name), getattr(branch, name)) for name in ("to_q", "to_k", "to_v")]
        weights = [base.weight.float() + own.whole() for base, own in pairs]
        whole = torch.cat(weights).to(attention.to_q.weight.dtype)
        self.register_buffer("weight", whole, persistent=False)
        biases = [base.bias for base, _ in pairs if base.bias is not None]
        self.register_buffer("bias", torch.cat(biases) if biases else None, persistent=False)

    def projected(self, attn: Attention, x: Tensor) -> Sequence[Tensor]:
        return F.linear(x, self.weight, self.bias).chunk(3, dim=-1)


class ConditionedCrossAttention:
    """Attention processor: cross-attention to text, identity and expression, added up."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        heard: Mapping[str, Sequence[tuple[Tensor, Tensor]]] | None = None,
    ) -> Tensor:
        assert encoder_hidden_states is not None and heard is not None  # `answer` always passes them
        query = attn.to_q(hidden_states)
        mask = _mask(attn, attention_mask, encoder_hidden_states)
        (key, value), *added = heard[self.path]
        out = _attend(attn, query, key, value, mask)
        for key, value in added:
            out = out + _attend(attn, query, key, value)
        return _finish(attn, out, hidden_states)


def attention_layers(unet: UNet) -> dict[str, Any]:
    """Path -> attention layer, in the order of `unet.attn_processors` (down, up, mid).

    Raises:
        InputError: a layer is not of the SD 1.x/2.x class.
    """
    layers = {}
    for path in unet.attn_processors:
        name = path.removesuffix(".processor")
        attention = unet.get_submodule(name)
        extras = ("group_norm", "spatial_norm", "norm_q", "norm_k", "added_kv_proj_dim")
        if not isinstance(attention, Attention) or any(getattr(attention, e, None) for e in extras):
            raise InputError(
                f"the adapter cannot extend this UNet's layer {name!r}:"
                " use a base of the Stable Diffusion 1.x or 2.x class"
            )
        layers[name] = attention
    return layers


def _projected(layer: nn.Linear, x: Tensor) -> Tensor:
    """The base's projection, outside of its pass: weights that processes share out are put together."""
    weight: Any = layer.weight
    return F.linear(x, weight.full_tensor(), layer.bias) if hasattr(weight, "full_tensor") else layer(x)


def _shared(layers: Sequence[nn.Module], x: Tensor, strengths: Sequence[float] | None = None) -> Tensor:
    """(B, ...) what each layer makes of its share of the rows, times its strength."""
    shares = x.chunk(len(layers)) if len(layers) > 1 else [x]
    made = [layer(share) for layer, share in zip(layers, shares, strict=True)]
    if strengths is not None:
        made = [each if s == 1 else s * each for s, each in zip(strengths, made, strict=True)]
    return torch.cat(made) if len(made) > 1 else made[0]


def _mask(attn: Attention, mask: Tensor | None, keys: Tensor) -> Tensor | None:
    if mask is None:
        return None
    mask = attn.prepare_attention_mask(mask, keys.shape[1], keys.shape[0])
    return mask.view(keys.shape[0], attn.heads, -1, mask.shape[-1])


def _attend(attn: Attention, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, N, heads*d) queries against (B, M, heads*d) keys and values -> (B, heads, N, d)."""

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

    return F.scaled_dot_product_attention(heads(query), heads(key), heads(value), attn_mask=mask)


def _finish(attn: Attention, out: Tensor, residual: Tensor) -> Tensor:
    """(B, heads, N, d) attended values -> (B, N, C), what the layer answers."""
    out = attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))
    if attn.residual_connection:
        out = out + residual
    return out if attn.rescale_output_factor == 1 else out / attn.rescale_output_factor
