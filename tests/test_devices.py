"""The method on a device that is not the CPU, on machines without any.

`Elsewhere` tensors compute with CPU tensors that they hold. They refuse to meet a CPU tensor, as tensors
on a GPU do, and float64, as Apple's GPUs do. They go by the name of torch's "meta" device, the one that
every build of torch knows. What waits for a GPU is counted: values and tensors brought to the CPU, sizes
that depend on values, tensors that are sent there with blocking.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

from id3d_engine import generate
from id3d_engine.config import Preset
from id3d_engine.expressions import select
from id3d_engine.geometry.guide import fit_to
from id3d_engine.geometry.polish import PolishConfig, polish_with
from id3d_engine.head import validate
from id3d_engine.identity import Identity
from id3d_engine.job import Job
from id3d_engine.priors import prior as prior_module
from id3d_engine.priors.guidance import Ramp, asked_change, sds_loss
from id3d_engine.priors.memory import AtOnce
from id3d_engine.priors.offload import Offload
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.quick_encoder import QuickEncoder
from id3d_engine.rig.units import pose
from id3d_engine.template import load_template

THERE = torch.device("meta")
aten = torch.ops.aten
OF_UNKNOWN_SIZE = (aten.nonzero.default, aten.masked_select.default, aten._unique2.default)
# Torch lets CPU indices into a tensor elsewhere, which costs a transfer and no error.
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor)


class Elsewhere(Tensor):
    """A tensor that is not on the CPU."""

    held: Tensor
    waits = 0

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        made = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=THERE,
        )  # fmt: skip
        if held.dtype == torch.float64:
            raise TypeError("float64 is not for every device: Apple's GPUs have none")
        made.held = held
        return made

    def tolist(self) -> Any:
        Elsewhere.waits += 1
        return self.held.tolist()

    def __repr__(self) -> str:
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return compute(func, args, kwargs or {})


def compute(func: Any, args: tuple, kwargs: dict) -> Any:
    """One operation, where its tensors are."""
    given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    there = any(isinstance(x, Elsewhere) for x in given)
    device = kwargs.get("device")
    wanted = there if device is None else torch.device(device) == THERE
    here_args, here_kwargs = tree_map_only(Elsewhere, lambda x: x.held, (args, kwargs))
    if device is not None:
        here_kwargs["device"] = torch.device("cpu")
    if func is aten.copy_.default:
        here_args[0].copy_(here_args[1])
        return args[0]
    if func is aten._local_scalar_dense.default or (func is aten._to_copy.default and there and not wanted):
        Elsewhere.waits += there
        return func(*here_args, **here_kwargs)
    blocking = func is aten._to_copy.default and wanted and not there and not kwargs.get("non_blocking")
    Elsewhere.waits += blocking or (there and func in OF_UNKNOWN_SIZE)
    strangers = [tuple(x.shape) for x in given if not isinstance(x, Elsewhere) and x.dim() > 0]
    meets = func is not aten._to_copy.default and (func not in INDEXING or not isinstance(args[0], Elsewhere))
    if there and strangers and meets:
        raise RuntimeError(f"{func} mixes devices: shapes {strangers} are on the CPU")
    found = func(*here_args, **here_kwargs)
    if func._schema.is_mutable and isinstance(args[0], Elsewhere):
        return args[0]
    return tree_map_only(Tensor, Elsewhere, found) if wanted else found


class _Computing(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return compute(func, args, kwargs or {})


class _Making(TorchFunctionMode):
    """Tensors from Python's numbers, which torch makes before it dispatches."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == THERE:
            kwargs.pop("device")
            return func(*args, **kwargs).to(THERE)
        if func is Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype, **kwargs}).to(THERE)
        return func(*args, **kwargs)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it THERE computes; models are read from disk as ever (that uses "meta" for itself)."""
    read = prior_module.load_base

    def read_here(*args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():
            return read(*args, **kwargs)

    monkeypatch.setattr(prior_module, "load_base", read_here)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with _Computing(), _Making():
        yield
    torch.set_num_threads(before)


@contextmanager
def no_waiting() -> Iterator[None]:
    Elsewhere.waits = 0
    yield
    assert Elsewhere.waits == 0


def test_devices_do_not_mix(elsewhere: None) -> None:
    x = torch.ones(3).to(THERE)
    assert (x * 2 + torch.ones(3, device=THERE)).device == THERE
    assert torch.equal((x * 2).cpu(), torch.full((3,), 2.0))
    with pytest.raises(RuntimeError, match="mixes devices"):
        x + torch.ones(3)
    with pytest.raises(AssertionError), no_waiting():
        float(x.sum())


@pytest.mark.parametrize("form", ["refined", "plain"])
def test_a_whole_head_is_made(
    form: str,
    elsewhere: None,
    tiny_prior: Path,
    tiny_preset: Preset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("id3d_engine.preview.COLUMNS", {"front": 0.0})
    monkeypatch.setattr("id3d_engine.device.pick", lambda name: THERE)
    someone = Identity(0.13 * np.random.default_rng(0).normal(size=128).astype(np.float32), "dlib")
    paint = replace(tiny_preset.paint, generic=1.0, per_expression=True, bake_grid=tiny_preset.paint.grid)
    sculpt = replace(tiny_preset.sculpt, generic=1.0)
    if form == "plain":
        paint = replace(tiny_preset.paint, method="sds")
        sculpt = replace(sculpt, form="plain", quick_rounds=1, noise_level=Ramp(0.5, 0.2))
    generate(
        identity=someone,
        out=tmp_path / "a.head",
        prior=tiny_prior,
        preset=replace(tiny_preset, sculpt=sculpt, paint=paint),
        expressions="smile",
        topology="template",
    )
    assert validate(tmp_path / "a.head") == []


def test_expressions_are_refined_where_the_prior_is(elsewhere: None, tiny_prior: Path) -> None:
    template, cast = load_template(), select("smile,brow_lower")
    offsets = {e.name: pose(template.arkit, e.recipe) for e in cast}
    config = PolishConfig(rounds=1, inner_steps=2, views=2, fit_size=32)
    seen = []

    class Glance:
        image_size = fit_size = 32

        def look(self, render: Any, expression: Any, cameras: Any, step: int, generator: Any) -> Any:
            images = render()
            seen.append((images.device, cameras.clip(images.new_zeros(1, 3)).device))
            return fit_to(images, (images + 0.1).clamp(0, 1), 32, 0.0)

    found = [
        polish_with(Glance(), template.vertices, offsets, template, cast, config, Job(seed=1), device)
        for device in ("cpu", THERE)
    ]
    assert seen == [(torch.device("cpu"),) * 2] * 2 + [(THERE,) * 2] * 2
    assert all(np.array_equal(found[0][e.name], found[1][e.name]) for e in cast)
    assert all((found[0][e.name] != offsets[e.name]).any() for e in cast)


def test_score_distillation_never_waits(elsewhere: None, tiny_prior: Path) -> None:
    prior = Prior.load(tiny_prior, "geometry", THERE)
    size, generator = prior.image_size, torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, size, size, generator=generator).to(THERE).requires_grad_()
    quick = QuickEncoder.fit(prior, images.detach())
    views, t = ["front view", "back view"], torch.tensor([300, 600])
    someone, nobody = (prior.conditions(face, None, views) for face in (torch.ones(128), None))
    with no_waiting():
        for encode in (None, quick):
            loss = sds_loss(prior, images, someone, t, generator=generator, encode=encode)
            loss.mean().backward()
        asked_change(
            prior, images.detach(), someone, nobody, t,
            steps=2, guidance_scale=1.5, generic=1.0, generator=generator,
        )  # fmt: skip
    assert bool((images.grad != 0).any())


def test_networks_come_when_they_are_asked_backwards_too(elsewhere: None, tiny_prior: Path) -> None:
    prior = Prior.load(tiny_prior, "geometry", THERE)
    size = prior.image_size
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)).to(THERE)
    t, views = torch.tensor([300, 600]), ["front view", "back view"]

    def step(text: str) -> Tensor:
        rendered, generator = images.clone().requires_grad_(), torch.Generator().manual_seed(1)
        someone = prior.conditions(torch.ones(128), None, views, text)
        sds_loss(prior, rendered, someone, t, generator=generator).mean().backward()
        assert rendered.grad is not None
        return rendered.grad.cpu()

    whole = step("an old man")
    offload = prior.offload = Offload(prior.networks, THERE)
    prior._tokens.clear()
    for at_once in (prior.at_once, AtOnce(1, 1, 1)):
        prior.at_once = at_once
        torch.testing.assert_close(step("an old man"), whole, atol=1e-7, rtol=1e-4)
        assert offload.present is prior.vae
    present = [{p.device for p in network.parameters()} for network in prior.networks]
    assert present == [{torch.device("cpu")}, {torch.device("cpu")}, {THERE}]
    offload.rest()
    assert {p.device for network in prior.networks for p in network.parameters()} == {torch.device("cpu")}
