"""What a denoiser is told about a batch of images, and the same with everything dropped.

`Conditions` is made by `Prior.conditions`. Row i describes image i. The unconditional set, which
classifier-free guidance needs, is text "" (or a negative prompt), the zero embedding and
expression "".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Conditions:
    """Tokens of B images: L tokens a text, C numbers a token, D numbers an identity.

    Attributes:
        text: (B, L, C) prompt tokens: caption, camera and domain words.
        identity: (B, D) embeddings, zeros for nobody.
        expression: (B, L, C) descriptor tokens.
        no_text: (1, L, C) tokens of the negative prompt, or of "".
        no_expression: (1, L, C) tokens of "".
    """

    text: Tensor
    identity: Tensor
    expression: Tensor
    no_text: Tensor
    no_expression: Tensor

    def __len__(self) -> int:
        return len(self.text)

    def select(self, rows: Sequence[int] | Tensor) -> Conditions:
        """The conditions of some rows, in that order; a row may repeat."""
        rows = torch.as_tensor(rows, dtype=torch.long, device=self.text.device)
        return Conditions(
            self.text[rows], self.identity[rows], self.expression[rows], self.no_text, self.no_expression
        )

    def unconditional(self) -> Conditions:
        """The same number of rows with everything dropped."""
        return Conditions(
            self.no_text.expand_as(self.text),
            torch.zeros_like(self.identity),
            self.no_expression.expand_as(self.expression),
            self.no_text,
            self.no_expression,
        )

    @staticmethod
    def join(parts: Sequence[Conditions]) -> Conditions:
        """Batches one after another; the unconditional set is the first one's."""
        return Conditions(
            torch.cat([p.text for p in parts]),
            torch.cat([p.identity for p in parts]),
            torch.cat([p.expression for p in parts]),
            parts[0].no_text,
            parts[0].no_expression,
        )
