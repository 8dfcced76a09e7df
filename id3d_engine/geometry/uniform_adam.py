"""Adam with one step length for a whole mesh, for smoothed vertex offsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class UniformAdam(torch.optim.Optimizer):
    """Adam whose second moment is the largest of a parameter's, as in "Large Steps in Inverse
    Rendering of Geometry" (Nicolet, Jacobson, Jakob 2021).

    Adam gives every coordinate its own scale, so vertices that the images say nearly nothing about
    step as far as those in the middle of a change: their noise becomes dents. Here directions and
    proportions of the gradient stay, and the vertex with the largest one moves by `lr`.

    Args:
        parameters: Each is scaled on its own.
        lr: Step of the largest entry.
        betas: Decay of the first and second moments.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group["lr"], *group["betas"])

    def _move(self, parameter: Tensor, gradient: Tensor, lr: float, first: float, second: float) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        count = float(state["step"])
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].lerp_(gradient.square(), 1 - second)
        largest = (state["square"].max() / (1 - second**count)).sqrt()
        parameter.sub_(lr / (1 - first**count) * state["mean"] / (largest + 1e-12))
