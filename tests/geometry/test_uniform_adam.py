from __future__ import annotations

import pytest
import torch

from id3d_engine.geometry.uniform_adam import UniformAdam
from id3d_engine.job import Job, Stepper


def test_the_first_step_is_the_gradient_with_its_largest_entry_scaled_to_the_rate() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3, 2))
    parameter.grad = torch.tensor([[4.0, 0.0], [-1.0, 2.0], [0.0, 0.5]])
    UniformAdam([parameter], lr=0.01).step()
    assert torch.allclose(parameter.detach(), -0.01 * parameter.grad / 4)


def test_it_is_adam_with_the_largest_second_moment() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(12, 5, 3, generator=generator, dtype=torch.float64)
    parameter = torch.nn.Parameter(torch.zeros(5, 3, dtype=torch.float64))
    optimizer = UniformAdam([parameter], lr=0.1, betas=(0.8, 0.95))
    expected = torch.zeros(5, 3, dtype=torch.float64)
    for count in range(1, 13):
        parameter.grad = gradients[count - 1]
        optimizer.step()
        age = torch.arange(count - 1, -1, -1, dtype=torch.float64)[:, None, None]
        mean = (0.2 * 0.8**age * gradients[:count]).sum(0) / (1 - 0.8**count)
        square = (0.05 * 0.95**age * gradients[:count] ** 2).sum(0) / (1 - 0.95**count)
        expected = expected - 0.1 * mean / square.max().sqrt()
    assert torch.allclose(parameter.detach(), expected, atol=1e-10)


def test_without_a_gradient_nothing_moves() -> None:
    idle, flat = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    flat.grad = torch.zeros(2)
    UniformAdam([idle, flat]).step()
    assert torch.equal(idle.detach(), torch.ones(2)) and torch.equal(flat.detach(), torch.ones(2))


def fit(job: Job, stop_at: int | None = None) -> torch.Tensor:
    torch.manual_seed(0)
    module = torch.nn.Linear(4, 2)
    optimizer = UniformAdam(module.parameters(), lr=0.05)
    for step in job.steps("fit", 6, Stepper(module, optimizer)):
        if step == stop_at:
            job.cancel.set()
        rows = torch.randn(8, 4, generator=job.generator("fit", step))
        optimizer.zero_grad()
        (module(rows) - rows[:, :2]).square().mean().backward()
        optimizer.step()
    return module.weight.detach()


def test_it_goes_on_from_a_checkpoint(tmp_path) -> None:
    whole = fit(Job(seed=1))
    with pytest.raises(Exception, match="cancelled"):
        fit(Job(tmp_path, seed=1), stop_at=2)
    assert torch.equal(fit(Job(tmp_path, seed=1)), whole)
