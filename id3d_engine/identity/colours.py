"""What colour skin and hair have in a photograph.

A recogniser's embedding is made to be the same under any light, and after any hairdresser. Skin is measured
as it is in the picture, hair against the same person's skin: a lamp's colour and the exposure are in both and
cancel. Where the hair is, nobody has told: above the face's outline lie forehead, hair and background, and
expectation maximisation (Dempster, Laird and Rubin 1977) finds which pixel is what, from where each usually
lies and from the skin's colour, which is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt

from ..render.color import srgb_to_linear
from .face_mesh import Square

NAMES = ("skin_light", "skin_red", "skin_yellow", "hair_light", "hair_red", "hair_yellow", "hair_seen")
"""Natural logarithms of linear light. Light is red, green and blue weighed as Rec. 709 does, `red` is red
over green, `yellow` green over blue; hair's are over skin's. `hair_seen`, 0 to 1, is how far to believe
them."""

Array = NDArray[np.float64]

# Points of the face mesh: its outline from the forehead's top clockwise, cheeks and forehead, and the places
# that say where up is and how far the head is turned.
_OUTLINE = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
            148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
SKIN = (50, 101, 118, 117, 123, 147, 187, 205, 36, 280, 330, 347, 346, 352, 376, 411, 425, 266, 151, 9, 108,
         337, 69, 299, 4, 5, 195, 142, 371, 100, 329, 121, 350, 207, 427, 216, 436, 104, 333, 66,
         296)  # fmt: skip
_TOP, _CHIN, _RIGHT, _LEFT = 10, 152, 234, 454

_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])
_SIDE = 96  # pixels of the square that is looked at
_HEIGHTS = 2.1  # its side, in heights of the face from _TOP to _CHIN
_ABOVE = 0.75  # of these above the face

# Where hair is looked for: heights of the face outside its outline, and degrees from up. A turned head shows
# its hair on the side that it turned from.
_FROM, _TO, _ASIDE, _TURNED = -0.12, 0.45, 50.0, 0.8
_PLACES = (-0.12, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_HAIR_THERE = (0.12, 0.25, 0.40, 0.60, 0.75, 0.60, 0.32, 0.12, 0.05)
_SKIN_THERE = (0.85, 0.72, 0.57, 0.35, 0.18, 0.08, 0.03, 0.02, 0.01)
_ANYTHING = 1 / 20  # density of a background that may have any colour
_BEYOND, _ASIDE_BEYOND = 0.45, 105.0  # where to look for what is behind
_ALIKE = 0.8  # how surely what is behind the hair is like that
_BEHIND_VARIES: Array = np.diag(np.array([0.15, 0.06, 0.08]) ** 2)
_ROUNDS = 12
# Before anything is seen, as if of so many pixels: hair is darker than skin, and varies.
_USUAL, _AS_PIXELS = np.array([-1.5, 0.05, 0.1]), 10
_VARIES, _AS_MORE_PIXELS = np.diag(np.array([0.5, 0.12, 0.15]) ** 2), 15
_SKIN_VARIES: Array = np.diag(np.array([0.2, 0.07, 0.09]) ** 2)
_FEW, _FEW_BEHIND = 8, 100  # points, pixels
_ENOUGH = 150.0  # pixels of hair
_DARK, _DARKEST = 0.0015, 0.004  # floors of linear light, of a pixel and of the skin


def colours(image: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.float32]:
    """(len(NAMES),) colours of one face of an (H, W, 3) uint8 RGB photograph, whose points are (468, 3)."""
    crop = _Crop.of(image, points)
    skin, about = crop.skin()
    logs = split(np.log(np.maximum(crop.light, _DARK) / np.maximum(skin, _DARKEST)))
    shares = _hair(crop, logs, about)
    near = crop.outside < 0.3
    pixels, weight = logs[crop.searched & near], shares[near[crop.searched]]
    # Highlights and haze make black hair grey, and nothing makes grey hair black: the dark quarter tells.
    light = _quantile(pixels[:, 0], weight, 0.25)
    dark = weight * (pixels[:, 0] <= _quantile(pixels[:, 0], weight, 0.5))
    hair = [light, _quantile(pixels[:, 1], dark, 0.5), _quantile(pixels[:, 2], dark, 0.5)]
    seen = min(float(weight.sum()) / _ENOUGH, 1.0)
    return np.array([*split(np.log(np.maximum(skin, _DARK))), *hair, seen], np.float32)


def together(photos: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One person's colours from those of several photographs: medians, of hair where it is well seen."""
    rows = np.stack(photos)
    seen = rows[:, -1]
    skin, hair = np.median(rows[:, :3], axis=0), np.median(rows[seen >= 0.5 * seen.max(), 3:-1], axis=0)
    return np.array([*skin, *hair, seen.max()], np.float32)


def within_outline(points: NDArray[np.floating], side: int) -> NDArray[np.bool_]:
    """(side, side) whether a pixel is within the outline of the face of (468, 2) points."""
    mask = Image.new("1", (side, side))
    ImageDraw.Draw(mask).polygon([tuple(point) for point in points[list(_OUTLINE)]], fill=1)
    return np.asarray(mask)


@dataclass(frozen=True, eq=False)
class _Crop:
    """The head upright in a square of S pixels a side.

    Attributes:
        light: (S, S, 3) linear RGB.
        points: (468, 2) in its pixels.
        outside: (S, S) distance from the face's outline in heights of the face, negative within.
        searched: (S, S) where hair is looked for.
        behind: (S, S) where the background is likely to be seen.
    """

    light: Array
    points: Array
    outside: Array
    searched: NDArray[np.bool_]
    behind: NDArray[np.bool_]

    @classmethod
    def of(cls, image: NDArray[np.uint8], points: NDArray[np.floating]) -> _Crop:
        places = points.astype(np.float64)
        upright = Square.of(points)
        down = upright.turn[:, 1] / np.linalg.norm(upright.turn[:, 1])
        height = max(float((places[_CHIN, :2] - places[_TOP, :2]) @ down), 1.0)
        side = _HEIGHTS * height
        middle = (places[_RIGHT, :2] + places[_LEFT, :2]) / 2
        middle = middle + down * ((places[_TOP, :2] - middle) @ down + side / 2 - _ABOVE * height)
        square = Square(middle, side, upright.angle, _SIDE)
        light = srgb_to_linear(square.cut(image)[0]).permute(1, 2, 0).double().numpy()
        inside = (places[:, :2] - square.corner) @ np.linalg.inv(square.turn).T
        there, pictured = square.places_in(image)
        face = within_outline(inside, _SIDE)
        outside = (distance_transform_edt(~face) - distance_transform_edt(face)) * (_HEIGHTS / _SIDE)
        rightwards = np.arctan2(places[_RIGHT, 2] - places[_LEFT, 2], places[_LEFT, 0] - places[_RIGHT, 0])
        away = (there - square.corner) @ np.linalg.inv(square.turn).T - (inside[_TOP] + inside[_CHIN]) / 2
        aside = np.degrees(np.arctan2(away[..., 0], -away[..., 1]) - _TURNED * rightwards)
        aside = np.abs((aside + 180) % 360 - 180)
        searched = pictured & (outside > _FROM) & (outside < _TO) & (aside < _ASIDE)
        behind = pictured & (outside > _BEYOND) & (aside < _ASIDE_BEYOND)
        return cls(light, inside, outside, searched, behind)

    def skin(self) -> tuple[Array, tuple[Array, Array]]:
        """The lit skin's (3,) linear RGB, and mean and covariance of skin's logarithms over it."""
        x, y = np.clip(self.points[list(SKIN)].astype(int), 0, _SIDE - 1).T
        pixels = self.light[y, x]
        order = np.argsort(pixels @ _WEIGHTS)
        lit = pixels[order[len(order) // 4 : len(order) * 9 // 10]]
        skin = np.median(lit, axis=0)
        logs = split(np.log(np.maximum(pixels, _DARK) / np.maximum(skin, _DARKEST)))
        # No glasses, no fringe.
        logs = logs[(np.abs(logs) < (0.9, 0.5, 0.6)).all(axis=1)]
        if len(logs) < _FEW:
            return skin, (np.zeros(3), 4 * _SKIN_VARIES)
        mean = np.median(logs, axis=0)
        off = logs - logs.mean(axis=0)
        return skin, (mean, off.T @ off / len(logs) + _SKIN_VARIES)


def split(logs: NDArray[np.floating]) -> Array:
    """(..., 3) logarithms of red, green and blue -> those of light, red over green, green over blue."""
    red, green, blue = np.moveaxis(logs, -1, 0)
    return np.stack([logs @ _WEIGHTS, red - green, green - blue], axis=-1)


def _hair(crop: _Crop, logs: Array, skin: tuple[Array, Array]) -> Array:
    """(N,) probability that each of the searched pixels is hair."""
    pixels, places = logs[crop.searched], crop.outside[crop.searched]
    if not len(pixels):
        return np.zeros(0)
    hair_there = np.interp(places, _PLACES, _HAIR_THERE)
    skin_there = np.interp(places, _PLACES, _SKIN_THERE)
    behind = np.maximum(1 - hair_there - skin_there, 0.03) * _behind(pixels, logs[crop.behind])
    other = behind + skin_there * _density(pixels, *skin)
    above = pixels[(places > 0.05) & (places < 0.22)]
    dark = above[above[:, 0] < skin[0][0] - 0.5]
    mean = _USUAL
    if len(above):
        mean = np.median(dark if len(dark) > 0.2 * len(above) else above, axis=0)
    spread = np.diag(np.array([0.8, 0.2, 0.25]) ** 2)
    for _ in range(_ROUNDS):
        hair = hair_there * _density(pixels, mean, spread)
        share = hair / (hair + other)
        count = share.sum()
        mean = (share @ pixels + _AS_PIXELS * _USUAL) / (count + _AS_PIXELS)
        off = pixels - mean
        spread = (off.T * share @ off + _AS_MORE_PIXELS * _VARIES) / (count + _AS_MORE_PIXELS)
    return share


def _behind(pixels: Array, background: Array) -> Array:
    """(N,) density of the background's colours: those seen around the head, or any."""
    if len(background) < _FEW_BEHIND:
        return np.full(len(pixels), _ANYTHING)
    mean = np.median(background, axis=0)
    off = background - mean
    like = _density(pixels, mean, off.T @ off / len(off) + _BEHIND_VARIES)
    return (1 - _ALIKE) * _ANYTHING + _ALIKE * like


def _density(pixels: Array, mean: Array, spread: Array) -> Array:
    """(N,) of a normal distribution."""
    off = pixels - mean
    far = np.einsum("ni,ij,nj->n", off, np.linalg.inv(spread), off)
    return np.exp(-far / 2) / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(spread))


def _quantile(values: Array, weights: Array, share: float) -> float:
    """The value below which a share of the weight lies; 0 if there is none."""
    if not weights.sum() > 0:
        return 0.0
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order[min(np.searchsorted(total, share * total[-1]), len(order) - 1)]])
