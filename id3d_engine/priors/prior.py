"""One 2D prior, whatever its size: `phi_g` (normals) or `phi_a` (albedo).

    prior = Prior.load("starter", "geometry")                  # or a folder, or a hub id
    conditions = prior.conditions(embedding, "a broad grin", ["front view", "left side view"], "an old man")
    z = prior.encode(images)                                   # (B,3,S,S) in [0,1] -> (B,4,h,w)
    z_t = prior.add_noise(z, noise, t)                         # t: (B,) integers in [0, prior.steps)
    eps, x0 = prior.predict(z_t, t, conditions, guidance_scale=2.0)
    z_0 = prior.denoise(z_t, t, conditions, steps=6, guidance_scale=1.5)
    images = prior.decode(z_0)                                 # (B,3,S,S) in [0,1], clamped
    images = prior.sample(conditions, steps=30, guidance_scale=2.0, generator=g)

A prior's folder is a diffusers pipeline (`unet/ vae/ text_encoder/ tokenizer/ scheduler/`) with
`geometry.safetensors`, `geometry.json`, `albedo.safetensors` and `albedo.json` beside it. A folder
with adapter files alone names its base in the JSON.

Guidance is `out_un + s (out_c - out_un)`, so s = 1 is none and s = 0 drops the conditions. Some
public codes write `out_c + s (out_c - out_un)`: their s is ours minus 1. Outputs, not noises, are
combined: the same thing wherever eps is defined by them, and right at zero SNR too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..device import sent, weights_dtype
from ..errors import InputError
from .adapter_files import UNET_FILE, AdapterConfig, load_adapter, read_adapter_config
from .adapters import AdaptedUNet, Adapter, Heard
from .base import Base, image_size, load_base
from .conditions import Conditions
from .locate import locate
from .memory import ALL, settle
from .noise import NoiseSchedule
from .offload import Offload
from .prompts import UNCONDITIONAL, check_domain, expression_text, prompt
from .tiles import in_tiles, recomputed
from .tokenizer import token_ids


class Prior:
    """A frozen base, one domain's adapter, and the operations that score distillation needs.

    Latents, noise and timesteps are float32 and int64 outside, whatever the weights' dtype.

    Args:
        base: Parts of the pipeline; set to eval mode and frozen here.
        adapter: Belongs to `base.unet`; installed here.
        config: What the adapter was trained on.
        device: Where the work happens.
        dtype: Of weights and activations; None is `device.weights_dtype`.

    Raises:
        InputError: the base's prediction type is not the one that the adapter was trained with.
    """

    def __init__(
        self,
        base: Base,
        adapter: Adapter,
        config: AdapterConfig,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        self.config, self.device = config, torch.device(device)
        self.dtype = dtype or weights_dtype(self.device)
        self.schedule = NoiseSchedule.of(base.scheduler).to(self.device)
        if self.schedule.prediction != config.prediction:
            raise InputError(
                f"the adapter was trained for {config.prediction} and the base predicts"
                f" {self.schedule.prediction}: use the base that the adapter names"
            )
        self.adapter = adapter
        self.denoiser = self._frozen(AdaptedUNet(base.unet, adapter))
        adapter.fuse(base.unet)
        self.vae = self._frozen(base.vae)
        self.text_encoder = self._frozen(base.text_encoder)
        self.tokenizer = base.tokenizer
        self._tokens: dict[str, Tensor] = {}
        self.at_once = ALL
        self.offload: Offload | None = None
        settle(self)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        domain: str,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        lambda_id: float | None = None,
        lambda_exp: float | None = None,
    ) -> Prior:
        """Read a prior.

        Args:
            folder: "starter" (the packaged one), a folder, or a hub id such as "user/name".
            domain: "geometry" or "albedo".
            device: Torch device.
            dtype: See `Prior`.
            lambda_id: Strength of the identity attention; None is the adapter's own.
            lambda_exp: Strength of the expression attention; None is the adapter's own.

        Raises:
            InputError: nothing is there, files are missing, or they do not fit each other.
        """
        check_domain(domain)
        home = locate(folder)
        config = read_adapter_config(home, domain)
        base_home = home if (home / UNET_FILE.parent).is_dir() else locate(config.base)
        dtype = dtype or weights_dtype(torch.device(device))
        base = load_base(base_home, dtype)
        adapter, config = load_adapter(base.unet, home, domain, unet_file=base_home / UNET_FILE)
        if lambda_id is not None:
            adapter.lambda_id = lambda_id
        if lambda_exp is not None:
            adapter.lambda_exp = lambda_exp
        return cls(base, adapter, config, device, dtype)

    @property
    def domain(self) -> str:
        return self.config.domain

    @property
    def image_size(self) -> int:
        """S, pixels a side of what `encode` takes and `decode` gives."""
        return image_size(self.denoiser.unet.config, self.vae.config)

    @property
    def latent_size(self) -> int:
        return self.denoiser.unet.config.sample_size

    @property
    def latent_channels(self) -> int:
        return self.denoiser.unet.config.in_channels

    @property
    def networks(self) -> tuple[Any, ...]:
        """All that computes; on the device, or see `offload`."""
        return self.text_encoder, self.denoiser, self.vae

    @property
    def _latent_pixels(self) -> int:
        """Pixels a side that a latent stands for."""
        return self.image_size // self.latent_size

    @property
    def steps(self) -> int:
        """Timesteps of the forward process, 1000 as a rule."""
        return self.schedule.steps

    def conditions(
        self,
        identity_embedding: Tensor | NDArray[np.floating] | None,
        expression_descriptors: str | Sequence[str] | None,
        view_texts: str | Sequence[str],
        text: str | Sequence[str] | None = None,
        negative_text: str = UNCONDITIONAL,
    ) -> Conditions:
        """Tokens for B images; anything given once holds for all. Texts are encoded once and kept.

        Args:
            identity_embedding: (D,) or (B, D); None is nobody.
            expression_descriptors: `Expression.descriptor`, one or B; None is none.
            view_texts: `render.cameras.view_text`, one or B.
            text: The caption `y_text`, one or B; None is "a head".
            negative_text: What guidance moves away from, instead of the empty prompt.

        Raises:
            InputError: the embedding's dimension is not the adapter's, or counts differ.
        """
        identity = self._identity(identity_embedding)
        descriptors, views, captions = (
            [v] if isinstance(v, str) or v is None else list(v)
            for v in (expression_descriptors, view_texts, text)
        )
        counts = {len(identity), len(descriptors), len(views), len(captions)} - {1}
        if len(counts) > 1:
            raise InputError(
                f"conditions were given for different numbers of images ({sorted(counts)}):"
                " give each condition once or once an image"
            )
        count = counts.pop() if counts else 1
        views, captions, descriptors = (_repeat(v, count) for v in (views, captions, descriptors))
        # Without trained expression attention, the text is the only place to hear of an expression.
        told = [None] * count if self.config.expressions else descriptors
        parts = zip(captions, views, told, strict=True)
        prompts = [prompt(c, v or "", self.domain, d) for c, v, d in parts]
        return Conditions(
            text=self.encode_text(prompts),
            identity=identity.expand(count, -1),
            expression=self.encode_text([expression_text(d) for d in descriptors]),
            no_text=self.encode_text([negative_text]),
            no_expression=self.encode_text([expression_text(None)]),
        )

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """(B, L, C): the text encoder's last hidden states, all L positions; longer texts are cut."""
        # One text at a time, so that a text's tokens never depend on its neighbours in the batch.
        for text in dict.fromkeys(texts):
            if text not in self._tokens:
                ids = token_ids(self.tokenizer, [text])
                self._tokens[text] = self._here(self.text_encoder)(ids.to(self.device))[0]
        return torch.cat([self._tokens[text] for text in texts])

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) images in [0, 1] -> (B, 4, h, w) scaled latents (posterior mode); differentiable.

        Raises:
            InputError: the images have another size.
        """
        expected = (3, self.image_size, self.image_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise InputError(
                f"the prior takes images of shape (B, {', '.join(map(str, expected))}), got"
                f" {tuple(images.shape)}: resize them first"
            )
        images = self.moved(images)
        parts, tiles = images.split(self.at_once.encode), self.at_once.tiles
        frugal = len(parts) > 1 or tiles > 1 or self.offload is not None
        with_gradient = torch.is_grad_enabled() and images.requires_grad
        encode = recomputed(self._encode) if frugal and with_gradient else self._encode
        return torch.cat([in_tiles(encode, part, tiles, self._latent_pixels, 1) for part in parts])

    def _encode(self, images: Tensor) -> Tensor:
        posterior = self._here(self.vae).encode((images * 2 - 1).to(self.dtype)).latent_dist
        return posterior.mode().float() * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, 4, h, w) scaled latents -> (B, 3, S, S) images, clamped to [0, 1]."""
        parts = (latents / self.vae.config.scaling_factor).split(self.at_once.decode)
        tiles, pixels = self.at_once.tiles, self._latent_pixels
        images = torch.cat([in_tiles(self._decode, part, tiles, 1, pixels) for part in parts])
        return (images / 2 + 0.5).clamp(0, 1)

    def _decode(self, latents: Tensor) -> Tensor:
        return self._here(self.vae).decode(latents.to(self.dtype), return_dict=False)[0].float()

    def add_noise(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """z_t of clean latents; t is (B,)."""
        return self.schedule.add_noise(latents, noise, self.moved(t))

    @torch.no_grad()
    def predict(
        self,
        noisy: Tensor,
        t: Tensor,
        conditions: Conditions,
        guidance_scale: float = 1.0,
        rescale: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Guided noise and clean latents at z_t, each (B, 4, h, w) float32.

        Args:
            noisy: (B, 4, h, w) z_t.
            t: (B,) timesteps.
            conditions: B rows.
            guidance_scale: s of the module's docstring; 1 costs one pass, anything else two.
            rescale: In [0, 1], how far the guided output's spread is brought back to the
                conditional one's (arXiv 2305.08891, section 3.4); for large s.

        Raises:
            InputError: the batch sizes differ.
        """
        _check_counts(noisy, t, conditions)
        heard = self._heard(conditions, guidance_scale)
        return self._predicted(noisy, self.moved(t), heard, guidance_scale, rescale)

    @torch.no_grad()
    def denoise(
        self,
        noisy: Tensor,
        t: Tensor,
        conditions: Conditions,
        *,
        steps: int,
        guidance_scale: float = 1.0,
        rescale: float = 0.0,
    ) -> Tensor:
        """z_t -> clean latents in `steps` deterministic DDIM steps (arXiv 2010.02502), even over [0, t].

        One step is `predict`'s x0. Each image may start at its own t.

        Raises:
            InputError: `steps` is below 1, or the batch sizes differ.
        """
        if steps < 1:
            raise InputError(f"denoising needs at least 1 step, got {steps}: give a positive number")
        _check_counts(noisy, t, conditions)
        t, heard = self.moved(t), self._heard(conditions, guidance_scale)
        grid = [(t * (steps - k) / steps).round().long() for k in range(steps)]
        for now, later in zip(grid, [*grid[1:], None], strict=True):
            eps, x0 = self._predicted(noisy, now, heard, guidance_scale, rescale)
            noisy = x0 if later is None else self.add_noise(x0, eps, later)
        return noisy

    def sample(
        self,
        conditions: Conditions,
        *,
        steps: int = 30,
        guidance_scale: float = 2.0,
        rescale: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """(B, 3, S, S) new images from pure noise."""
        noise = self.noise(len(conditions), generator)
        t = torch.full((len(conditions),), self.steps - 1)
        latents = self.denoise(
            noise, t, conditions, steps=steps, guidance_scale=guidance_scale, rescale=rescale
        )
        return self.decode(latents)

    def noise(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, 4, h, w) standard normal, drawn on the CPU so that a seed means the same everywhere."""
        shape = (count, self.latent_channels, self.latent_size, self.latent_size)
        return self.moved(torch.randn(shape, generator=generator))

    def moved(self, values: Tensor) -> Tensor:
        """The same on the prior's device.

        Without waiting for a GPU, which would else be idle while the next work is prepared.
        """
        return sent(values, self.device)

    def _heard(self, conditions: Conditions, guidance_scale: float) -> list[Heard]:
        """What the denoiser is told, in parts of so many rows as it takes at once."""
        if guidance_scale != 1:
            conditions = Conditions.join([conditions.unconditional(), conditions])
        rows = (conditions.text, conditions.identity.to(self.dtype), conditions.expression)
        parts = zip(*(x.split(self.at_once.denoise) for x in rows), strict=True)
        return [self._here(self.denoiser).heard(*part) for part in parts]

    def _predicted(
        self, noisy: Tensor, t: Tensor, heard: list[Heard], guidance_scale: float, rescale: float
    ) -> tuple[Tensor, Tensor]:
        """See `predict`."""
        if guidance_scale == 1:
            out = self._raw(noisy, t, heard)
        else:
            out_un, out_c = self._raw(torch.cat([noisy, noisy]), torch.cat([t, t]), heard).chunk(2)
            out = guide(out_un, out_c, guidance_scale, rescale)
        return self.schedule.eps_and_x0(noisy, out, t)

    def _raw(self, noisy: Tensor, t: Tensor, heard: list[Heard]) -> Tensor:
        rows = (x.split(self.at_once.denoise) for x in (noisy.to(self.dtype), t))
        denoiser = self._here(self.denoiser)
        return torch.cat([denoiser(*part) for part in zip(*rows, heard, strict=True)]).float()

    def _identity(self, embedding: Tensor | NDArray[np.floating] | None) -> Tensor:
        dimension = self.config.identity_dimension
        if embedding is None:
            return torch.zeros(1, dimension, device=self.device)
        rows = self.moved(torch.as_tensor(embedding, dtype=torch.float32))
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != dimension:
            raise InputError(
                f"the identity has {rows.shape[-1]} numbers and this prior was trained on {dimension}"
                f" ({self.config.identity_encoder}): make the identity with --encoder"
                f" {self.config.identity_encoder}"
            )
        return rows

    def _here(self, network: Any) -> Any:
        """One of `networks`, on the device: where they do not all fit, they come when they are asked."""
        return network if self.offload is None else self.offload(network)

    def _frozen(self, module: Any) -> Any:
        # Module.to, because the models' own `to` warns on every cast.
        module = torch.nn.Module.to(module, self.dtype)
        if self.device.type == "cuda":
            # GPUs' matrix units want an image's channels side by side; on CPUs it is no faster.
            module.to(memory_format=torch.channels_last)
        return module.eval().requires_grad_(False)


def guide(out_un: Tensor, out_c: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """Classifier-free guidance: out_un + scale (out_c - out_un), optionally with its spread rescaled."""
    out = out_un + scale * (out_c - out_un)
    if rescale:
        ratio = out_c.std(dim=(1, 2, 3), keepdim=True) / out.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-8)
        out = out * (rescale * ratio + 1 - rescale)
    return out


def _check_counts(noisy: Tensor, t: Tensor, conditions: Conditions) -> None:
    if not len(noisy) == len(t) == len(conditions):
        raise InputError(
            f"{len(noisy)} latents, {len(t)} timesteps and {len(conditions)} conditions were given:"
            " give one of each an image"
        )


def _repeat(values: list, count: int) -> list:
    return values * count if len(values) == 1 else values
