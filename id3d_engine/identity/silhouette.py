"""How hair stands off the head in a photograph, in numbers.

A network (`silhouette_network.py`) cuts the person out, hair and all; the points of the face say how the head
is turned and how large it is. Above the face the outline is compared with a bald skull's. Beside the face,
short hair shows what is behind, and long hair fills the place: what is neither background nor skin there, is
hair, as far down as shoulders begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from ..render.color import srgb_to_linear
from .colours import SKIN, split, within_outline
from .face_mesh import Square, load_face_mesh, turned_and_scaled
from .silhouette_network import SIDE, person_in

NAMES = ("above", "aside", "ears", "cheeks", "jaw")
"""`above` and `aside` are the outline's distance from the skull's middle over a bald one's: 30 to 50 degrees
off the vertical, and 80 to 90. The others are shares, 0 to 1, of a place beside the face: `ears` and `jaw` of
what is person and not skin on the side that has more, `cheeks` of what is person on the side that has less.
Not a number: the picture ends before."""

Array = NDArray[np.float64]

# Lengths are in units of the mean face (its points' root mean square radius, some 6 cm); on it, x is to the
# right in the picture, y down, z away from the camera.
_LOOKED_AT = 3.0  # from the face's middle, of the picture that the network is shown
_PIXELS, _ACROSS = 160, 7.0  # of the upright square that is measured
_MIDDLE = np.array([0.0, -1.0, 0.6])
# A bald skull: the ellipsoid whose outline is nearest to that of bald renders, to some 3 %.
_SKULL, _RADII = np.array([0.0, -1.08, 1.26]), np.array([1.57, 1.95, 1.59])
_ABOVE, _ASIDE = (-50, -40, -30, 30, 40, 50), (-90, -80, 80, 90)  # degrees from up
_FIRST, _LAST, _STEP = 0.5, 2.2, 0.03  # radii of the skull; a unit
_AXIS = np.array([0.0, 0.0, 0.9])  # the neck's

# What is as near to the cheeks' and forehead's colours as this, in standard deviations, may be skin; they
# vary so much at least, in the logarithms of light, red over green and green over blue.
_SKIN_TO, _VARIES = 3.0, np.diag(np.array([0.2, 0.07, 0.09]) ** 2)
_PLAIN = (0.9, 0.5, 0.6)  # farther from the median, a point of the face shows no skin
_DARK = 0.0015  # a floor of linear light
_FEW = 8  # pixels, points
# Clothes, walls and neighbours beside the face are no hair where they are this much lighter or redder than
# what grows above it, in the same logarithms; darker is hair in shadow. Dark hair is compared above its own
# shine.
_LIGHTER, _REDDER, _SHINE = 1.0, 0.8, 0.02
# The crown: units from the face's outline and beside the axis; pixels.
_CROWN_FROM, _CROWN_TO, _CROWN_ASIDE, _ENOUGH = 0.05, 0.9, 1.6, 150


def silhouette(image: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.float32]:
    """(len(NAMES),) numbers of one head in an (H, W, 3) uint8 RGB photograph, the face's points (468, 3)."""
    pose = _Pose.of(points)
    return measured(image, points, _person(image, pose.places(_MIDDLE), pose.unit))


def together(photos: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One person's numbers from those of several photographs: medians of what they show."""
    rows = np.stack(photos)
    found = [
        np.median(column[np.isfinite(column)]) if np.isfinite(column).any() else np.nan for column in rows.T
    ]
    return np.array(found, np.float32)


def measured(
    image: NDArray[np.uint8], points: NDArray[np.floating], person: NDArray[np.floating]
) -> NDArray[np.float32]:
    """As `silhouette`, from an (H, W) mask that is known; not a number where nobody has looked."""
    view = _View.of(image, points, person)
    ears = view.shares(view.beside((-0.3, 0.5), across=(0.9, 2.1)), view.hair, of_place=0.25)
    cheeks = view.shares(view.beside((0.1, 0.7), outside=(0.06, 0.4)), view.there, of_place=0.4)
    jaw = view.shares(view.beside((0.7, 1.3), outside=(0.06, 0.4)), view.hair, of_place=0.4)
    rays = [np.mean(found) if len(found) > 1 else np.nan for found in map(view.rays, (_ABOVE, _ASIDE))]
    sides = [max(ears, default=np.nan), min(cheeks, default=np.nan), max(jaw, default=np.nan)]
    return np.array([*rays, *sides], np.float32)


@dataclass(frozen=True, eq=False)
class _Pose:
    """Where the mean face lies in a photograph: a place (3,) at `place @ turn + middle`, as if the
    camera were far away."""

    turn: Array
    middle: Array

    @classmethod
    def of(cls, points: NDArray[np.floating]) -> _Pose:
        """Where its points are nearest to (468, 3) seen ones."""
        middle = np.mean(points, axis=0, dtype=np.float64)
        return cls(turned_and_scaled(load_face_mesh().mean, points), middle)

    @property
    def unit(self) -> float:
        """In pixels."""
        return float(np.linalg.norm(self.turn) / np.sqrt(3))

    def places(self, where: Array) -> Array:
        """(2,) pixels."""
        place: Array = (where @ self.turn + self.middle)[:2]
        return place


def _person(image: NDArray[np.uint8], middle: Array, unit: float) -> NDArray[np.float32]:
    """(H, W) probability of the person; not a number where nobody has looked."""
    size = np.array([image.shape[1], image.shape[0]])
    left, top = np.clip(np.floor(middle - _LOOKED_AT * unit), 0, size - 1).astype(int)
    right, bottom = np.clip(np.ceil(middle + _LOOKED_AT * unit), (left + 1, top + 1), size).astype(int)
    part = Image.fromarray(image[top:bottom, left:right]).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    found = person_in(torch.from_numpy(np.array(part)).permute(2, 0, 1)[None].float() / 255)[0].numpy()
    person = np.full(image.shape[:2], np.nan, np.float32)
    size_there = (int(right - left), int(bottom - top))
    person[top:bottom, left:right] = Image.fromarray(found).resize(size_there, Image.Resampling.BILINEAR)
    return person


@dataclass(frozen=True, eq=False)
class _View:
    """The head upright in a square.

    Attributes:
        there: (S, S) 1 for the person and 0 for what is behind.
        hair: (S, S) 1 for the person where it is not skin, nor unlike the hair above the face.
        pictured: (S, S) whether that is known.
        outside: (S, S) distance from the face's outline, 0 within.
        across, down: (S, S) how far a pixel is from the head's axis, to the right, and where along it.
        skull: (2,) the skull's middle from the square's.
        ellipse: (2, 2) inverse square of the skull's outline.
    """

    there: NDArray[np.bool_]
    hair: NDArray[np.bool_]
    pictured: NDArray[np.bool_]
    outside: Array
    across: Array
    down: Array
    skull: Array
    ellipse: Array

    @classmethod
    def of(
        cls, image: NDArray[np.uint8], points: NDArray[np.floating], person: NDArray[np.floating]
    ) -> _View:
        pose = _Pose.of(points)
        up = -pose.turn[1, :2]
        angle = float(np.arctan2(up[0], -up[1]))
        square = Square(pose.places(_MIDDLE), _ACROSS * pose.unit, angle, _PIXELS)
        back = np.linalg.inv(square.turn).T * (_ACROSS / _PIXELS)  # from pixels of the photograph to units
        grid = (np.arange(_PIXELS) + 0.5) * (_ACROSS / _PIXELS) - _ACROSS / 2
        x, y = np.meshgrid(grid, grid)
        place, inside = square.places_in(image)
        column, row = np.moveaxis(np.where(inside[..., None], place, 0).astype(int), -1, 0)
        share = np.where(inside, person[row, column], np.nan)
        there = np.nan_to_num(share) > 0.5
        light = srgb_to_linear(square.cut(image)[0]).permute(1, 2, 0).double().numpy()
        logs = split(np.log(np.maximum(light, _DARK)))
        face = (points[:, :2] - square.middle) @ back
        covered = within_outline((face / _ACROSS + 0.5) * _PIXELS, _PIXELS)
        outside = distance_transform_edt(~covered) * (_ACROSS / _PIXELS)
        turn = pose.turn[:, :2] @ back
        axis, along = (pose.places(_AXIS) - square.middle) @ back, turn[1]
        down = (y - axis[1]) / along[1]
        across = x - axis[0] - down * along[0]
        hair = there & ~_like_skin(logs, face)
        above = (
            (down < -1) & (outside > _CROWN_FROM) & (outside < _CROWN_TO) & (np.abs(across) < _CROWN_ASIDE)
        )
        return cls(
            there=there,
            hair=hair & _like_hair(logs, hair & above),
            pictured=np.isfinite(share),
            outside=outside,
            across=across,
            down=down,
            skull=(pose.places(_SKULL) - square.middle) @ back,
            ellipse=np.linalg.inv((turn.T * _RADII**2) @ turn),
        )

    def rays(self, degrees: Sequence[float]) -> list[float]:
        """How far the person reaches from the skull's middle, over the skull; rays that leave the picture
        before are left out."""
        found = []
        for angle in np.radians(degrees):
            towards = np.array([np.sin(angle), -np.cos(angle)])
            bald = 1 / float(np.sqrt(towards @ self.ellipse @ towards))
            far = np.arange(_FIRST * bald, _LAST * bald, _STEP)
            place = ((self.skull + far[:, None] * towards) / _ACROSS + 0.5) * _PIXELS
            within = ((place >= 0) & (place < _PIXELS)).all(axis=1)
            column, row = np.where(within[:, None], place, 0).astype(int).T
            beyond = np.flatnonzero(within & self.pictured[row, column] & ~self.there[row, column])
            unknown = np.flatnonzero(~(within & self.pictured[row, column]))
            end = beyond[0] if len(beyond) else len(far) - 1
            if not len(unknown) or end < unknown[0]:
                found.append(float(far[end] / bald))
        return found

    def beside(
        self,
        down: tuple[float, float],
        *,
        across: tuple[float, float] = (0.0, np.inf),
        outside: tuple[float, float] = (0.0, np.inf),
    ) -> list[NDArray[np.bool_]]:
        """(S, S) places at some height beside the face, to its left and right in the picture."""
        level = (self.down > down[0]) & (self.down < down[1])
        level &= (self.outside > outside[0]) & (self.outside < outside[1])
        sides = [side * self.across for side in (-1, 1)]
        return [level & (away > across[0]) & (away < across[1]) for away in sides]

    def shares(
        self, places: list[NDArray[np.bool_]], of: NDArray[np.bool_], *, of_place: float
    ) -> list[float]:
        """Of the places that are pictured, `of_place` of each at least."""
        seen = [(place, place & self.pictured) for place in places]
        return [
            float(of[known].mean())
            for place, known in seen
            if known.sum() >= max(_FEW, of_place * place.sum())
        ]


def _like_skin(logs: Array, face: Array) -> NDArray[np.bool_]:
    """(S, S) whether a pixel may be skin of that face, (468, 2) points in units from the middle."""
    column, row = np.clip((face[list(SKIN)] / _ACROSS + 0.5) * _PIXELS, 0, _PIXELS - 1).astype(int).T
    skin = logs[row, column]
    middle = np.median(skin, axis=0)
    skin = skin[(np.abs(skin - middle) < _PLAIN).all(axis=1)]
    varies = np.cov(skin.T, bias=True) + _VARIES if len(skin) >= _FEW else 4 * _VARIES
    off = logs - middle
    alike: NDArray[np.bool_] = np.einsum("...i,ij,...j", off, np.linalg.inv(varies), off) < _SKIN_TO**2
    return alike


def _like_hair(logs: Array, crown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(S, S) whether a pixel may be hair like the crown's; all may where too little of that is seen."""
    if crown.sum() < _ENOUGH:
        return np.ones_like(crown)
    lightness, red = np.log(np.exp(logs[..., 0]) + _SHINE), logs[..., 1]
    alike: NDArray[np.bool_] = lightness - np.median(lightness[crown]) < _LIGHTER
    return alike & (red - np.median(red[crown]) < _REDDER)
