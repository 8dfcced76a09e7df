"""What the pixels see, and the one gather that all interpolation stands on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Fragments:
    """What the pixels of B images see.

    Attributes:
        triangle_id: (B, H, W) int32, -1 where nothing is seen.
        barycentric: (B, H, W, 3) perspective-correct weights of the triangle's corners, summing to
            1; 0 where nothing is seen. Differentiable with respect to the clip coordinates.
        mask: (B, H, W) bool.
    """

    triangle_id: Tensor
    barycentric: Tensor
    mask: Tensor

    @cached_property
    def covered(self) -> Tensor:
        """(N,) flat indices of the covered pixels."""
        return self.mask.flatten().nonzero().squeeze(1)

    @cached_property
    def covered_triangle(self) -> Tensor:
        """(N,) int64, their triangles."""
        return self.triangle_id.flatten()[self.covered].long()

    @cached_property
    def covered_weights(self) -> Tensor:
        """(N, 3), their barycentrics."""
        return self.barycentric.reshape(-1, 3).index_select(0, self.covered)

    @property
    def covered_image(self) -> Tensor:
        """(N,) the image each covered pixel lies in."""
        return self.covered // self.mask[0].numel()

    def spread(self, values: Tensor) -> Tensor:
        """(N, C) values of the covered pixels -> (B, C, H, W), 0 elsewhere."""
        batch, height, width = self.mask.shape
        image = values.new_zeros(batch * height * width, values.shape[1])
        image = image.index_copy(0, self.covered, values)
        return image.view(batch, height, width, -1).permute(0, 3, 1, 2)


def rows(table: Tensor, index: Tensor) -> Tensor:
    """table[index] for a (N, C) table; index_select has by far the fastest backward on CPUs."""
    return table.index_select(0, index.reshape(-1)).view(*index.shape, table.shape[1])
