"""An autoencoder in overlapping tiles: less memory, nearly the same answer.

Squares of one size, as many a side as wanted, overlap by a quarter or more, and their answers are blended
linearly over the overlap, as in diffusers' `AutoencoderKL.tiled_encode`. Where gradients pass, a tile's
activations are not kept but computed again (arXiv 1604.06174), so that only one tile's live at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

OVERLAP = 0.25  # of a tile's side, at least

Run = Callable[[Tensor], Tensor]


def recomputed(run: Run) -> Run:
    """`run`, whose activations are computed again for its gradient."""
    return partial(checkpoint, run, use_reentrant=False)


def in_tiles(run: Run, x: Tensor, tiles: int, before: int, after: int) -> Tensor:
    """About `run(x)`, from `tiles` x `tiles` tiles of x; differentiable where `run` is.

    Args:
        run: (B, C, n before, n before) -> (B, D, n after, n after) float32, for n latents a side.
        x: (B, C, S, S).
        tiles: A side; 1 is `run(x)` itself.
        before, after: Pixels a side of a latent in `x` and in the answer: 8 and 1 for an encoder.
    """
    if tiles == 1:
        return run(x)
    side = x.shape[-1] // before
    starts, size = places(side, tiles)
    shares = blend(starts, size, side, after).to(x.device)
    whole: Tensor | None = None
    for top, rows in zip(starts, shares, strict=True):
        for left, columns in zip(starts, shares, strict=True):
            made = run(x[..., _span(top, size, before), _span(left, size, before)])
            if whole is None:
                whole = made.new_zeros(*made.shape[:2], side * after, side * after)
            down, right = _span(top, size, after), _span(left, size, after)
            whole[..., down, right] += rows[down, None] * columns[right] * made
    assert whole is not None
    return whole


def places(side: int, tiles: int) -> tuple[list[int], int]:
    """Where tiles begin that cover `side` latents evenly, and how many latents each has a side."""
    size = min(ceil(side / (tiles - (tiles - 1) * OVERLAP)), side)
    return [round(i * (side - size) / (tiles - 1)) for i in range(tiles)], size


def blend(starts: list[int], size: int, side: int, pixels: int) -> Tensor:
    """(tiles, side * pixels): what each tile counts along a side, 1 in sum: linear over an overlap."""
    x = (torch.arange(side * pixels) + 0.5) / pixels
    begins = torch.tensor(starts)[:, None]
    from_begin, to_end = x - begins, begins + size - x
    # Nothing fades towards the image's own border.
    from_begin[0], to_end[-1] = size, size
    shares = torch.minimum(from_begin, to_end).clamp_min(0)
    return shares / shares.sum(dim=0)


def _span(start: int, size: int, pixels: int) -> slice:
    return slice(start * pixels, (start + size) * pixels)
