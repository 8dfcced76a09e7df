"""`preview.png`: rows are the neutral and the expressions, columns are views."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from .head import Head
    from .render.lights import Lights

CELL_PX = 224
COLUMNS = {"front": 0.0, "three-quarter": 40.0, "profile": 90.0, "back": 180.0}
_LABEL_PX, _HEADER_PX = 128, 30
_PAPER, _INK = (236, 236, 238), (52, 52, 58)


def render_preview(head: Head, cell: int = CELL_PX) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 sRGB: a row for the neutral and for each FaceWarehouse expression.

    Columns: shaded front, three-quarter, profile and back, and the front's camera-space normals.
    """
    from .portrait import Sitter

    sitter, lights = Sitter(head, smoothing=2), _lights()
    rows = []
    for expression in ("neutral", *head.expressions):
        shaded = sitter.shaded(expression, list(COLUMNS.values()), lights, cell)
        rows.append((expression, [*shaded, *sitter.normals(expression, [0.0], cell)]))
    return contact_sheet(rows, [*COLUMNS, "normals"])


def _lights() -> Lights:
    """A warm key, low enough to show in the eyes, a cool rim, and a sky as fill.

    A fill lamp would glint on the far cheek in profile.
    """
    import torch

    from .render.lights import directional, environment_map

    key = directional([[0.7, -1.0, 0.6]], [[2.85, 2.75, 2.64]])
    rim = directional([[-0.6, 1.0, 0.6]], [[1.08, 1.12, 1.2]])
    sky = torch.linspace(0.85, 0.35, 16).reshape(16, 1, 1) * torch.tensor([0.97, 1.0, 1.05])
    return key + rim + environment_map(sky.expand(16, 32, 3))


def contact_sheet(rows: list[tuple[str, list[NDArray[np.uint8]]]], header: list[str]) -> NDArray[np.uint8]:
    """Labelled rows of square pictures of one size, with a line of column titles above."""
    cell = rows[0][1][0].shape[0]
    size = (_LABEL_PX + cell * len(header), _HEADER_PX + cell * len(rows))
    sheet = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for column, title in enumerate(header):
        place = (_LABEL_PX + cell * (column + 0.5), _HEADER_PX / 2)
        draw.text(place, title, _INK, font, anchor="mm")
    for row, (label, pictures) in enumerate(rows):
        top = _HEADER_PX + cell * row
        draw.text((12, top + cell / 2), label.replace("_", " "), _INK, font, anchor="lm")
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (_LABEL_PX + cell * column, top))
    return np.asarray(sheet)
