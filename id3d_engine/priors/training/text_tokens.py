"""Tokens of a table of texts, each read once."""

from __future__ import annotations

import torch
from torch import Tensor

from ..base import TextEncoder

KEPT_BYTES = 4 * 2**30


class TextTokens:
    """Rows of texts -> tokens on the encoder's device.

    Args:
        encoder: The base's text encoder, which stays as it is.
        texts: (U, L) token ids. A text's tokens are computed once, alone (so that they never depend on
            their neighbours), and kept in main memory as float16; when `KEPT_BYTES` are full, the oldest go.
    """

    def __init__(self, encoder: TextEncoder, texts: Tensor) -> None:
        self.encoder, self.texts = encoder, texts
        self._kept: dict[int, Tensor] = {}

    def __call__(self, rows: Tensor) -> Tensor:
        """(B,) rows of the texts -> (B, L, C)."""
        return torch.stack([self._of(row).float() for row in rows.tolist()]).to(self.encoder.device)

    @torch.no_grad()
    def _of(self, row: int) -> Tensor:
        if row not in self._kept:
            with torch.autocast(self.encoder.device.type, enabled=False):
                tokens = self.encoder(self.texts[row][None].to(self.encoder.device))[0][0].half().cpu()
            if (len(self._kept) + 1) * tokens.nbytes > KEPT_BYTES:
                del self._kept[next(iter(self._kept))]
            self._kept[row] = tokens
        return self._kept[row]
