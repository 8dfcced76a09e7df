"""UVs for a surface that has none, by xatlas (Young 2018-2023, after Levy et al. 2002)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ..errors import Id3dError, MissingDependency
from .closest import Surface
from .correspondence import neighbour_mean

SMOOTHINGS = 40  # a grid's facets would end every chart after a few triangles
SPAN = 100.0  # xatlas takes triangles for empty below a fixed area: give it large ones
PADDING = 4  # texels of xatlas's own estimate, a side of about 1000
CHART_COST = 8.0  # larger charts than by default (2), at the price of some stretch


def unwrap(surface: Surface) -> NDArray[np.float32]:
    """(T, 3, 2) UVs in [0, 1], v up, charts that do not overlap. Deterministic.

    Charts are chosen on a smoothed copy of the surface, (N, 3) metres and (T, 3).

    Raises:
        MissingDependency: xatlas is not installed.
        Id3dError: xatlas found no layout.
    """
    xatlas = load_xatlas()
    triangles = np.asarray(surface[1], np.int64)
    vertices = np.asarray(surface[0], np.float64)
    mean = neighbour_mean(triangles, len(vertices))
    for _ in range(SMOOTHINGS):
        vertices = 0.5 * (vertices + mean @ vertices)
    extent = np.ptp(vertices, axis=0).max()
    atlas = xatlas.Atlas()
    atlas.add_mesh((vertices * (SPAN / extent)).astype(np.float32), triangles.astype(np.uint32))
    charts, pack = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_cost, pack.padding = CHART_COST, PADDING
    # The packer's quarter turns mirror charts, and mirrored charts need another tangent sign.
    charts.fix_winding, pack.rotate_charts = True, False
    atlas.generate(charts, pack)
    if atlas.atlas_count != 1:
        raise Id3dError("xatlas found no single layout for the raw surface: use --topology template")
    vertex, index, uv = atlas.get_mesh(0)
    if not np.array_equal(vertex[index], triangles):
        raise Id3dError("xatlas changed the raw surface's triangles: use --topology template")
    return np.clip(uv[index], 0.0, 1.0).astype(np.float32)


def load_xatlas() -> ModuleType:
    """The xatlas package; also asked for before long work that ends here.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import xatlas
    except ImportError as error:
        raise MissingDependency(
            "unwrapping the raw surface needs xatlas: run `pip install 'id3d-engine[dmtet]'`, "
            "or use --topology template"
        ) from error
    return xatlas
