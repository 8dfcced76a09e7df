"""Marching tetrahedra against mature isosurfacing on the same head.

    python benchmarks/bench_marching_tets.py [--cells 0.010 0.008 0.006] [--repeats 5]

Every method gets the same signed distance (to the template's outside) sampled on its own lattice, and
the lattices are matched so that the surfaces have about the same number of vertices. Sampling the
distance is not timed. "narrow" keeps the tetrahedra that the surface crosses, as the sculpting loop
does; the others have no such mode. Errors are distances from 20,000 points on the
extracted surface to the mesh, and from the mesh's visible vertices to the surface.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from id3d_engine.geometry.marching_tets import marching_tets
from id3d_engine.geometry.sdf import Solid
from id3d_engine.geometry.tet_grid import TetGrid, band, bcc_lattice, build_grid
from id3d_engine.template import load_template

MARGIN_M = 0.02
LIMIT_M = 0.03


@dataclass
class Row:
    method: str
    vertices: int
    triangles: int
    seconds: float
    error_mm: float
    missed_mm: float
    backward_s: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=float, nargs="+", default=[0.010, 0.008, 0.006], help="metres")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    template = load_template()
    solid = Solid(template.vertices, template.triangles)
    print(
        "| cell mm | method | vertices | triangles | ms | vs. skimage | backward ms | error mm | missed mm |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for cell in arguments.cells:
        rows = compare(template.vertices, solid, cell, arguments.repeats)
        reference = next(r.seconds for r in rows if r.method.startswith("skimage"))
        for r in rows:
            backward = "" if r.backward_s is None else f"{1e3 * r.backward_s:.1f}"
            print(
                f"| {1e3 * cell:.0f} | {r.method} | {r.vertices} | {r.triangles} | {1e3 * r.seconds:.1f}"
                f" | {r.seconds / reference:.2f} | {backward} | {r.error_mm:.3f} | {r.missed_mm:.3f} |"
            )


def compare(head: NDArray[np.float32], solid: Solid, cell: float, repeats: int) -> list[Row]:
    """All methods at one resolution."""
    low, high = head.min(axis=0) - MARGIN_M, head.max(axis=0) + MARGIN_M
    lattice = bcc_lattice(tuple(low), tuple(high), cell)
    grid, _ = build_grid(lattice, np.ones(len(lattice.vertices), bool))
    sdf = torch.from_numpy(solid.measure(grid.vertices.numpy(), LIMIT_M, grid.edges.numpy()).sdf)
    narrow, ids = grid.narrow(band(grid, sdf))
    whole_s, (vertices, triangles) = best(lambda: marching_tets(grid, grid.vertices, sdf), repeats)
    narrow_s, _ = best(lambda: marching_tets(narrow, narrow.vertices, sdf[ids]), repeats)
    backward_s = backward(narrow, sdf[ids], repeats)
    surface = vertices.numpy(), triangles.numpy()
    errors = deviation(*surface, solid, head)
    rows = [
        Row("ours, whole box", len(vertices), len(triangles), whole_s, *errors),
        Row("ours, narrow", len(vertices), len(triangles), narrow_s, *errors, backward_s),
    ]
    volume, step = matched_volume(solid, low, high, len(vertices))
    for name, extract in (("skimage marching cubes", with_skimage), ("open3d flying edges", with_open3d)):
        call = extract(volume)
        if call is None:
            continue
        seconds, (vertices, triangles) = best(call, repeats)
        errors = deviation(vertices * step + low, triangles, solid, head)
        rows.append(Row(name, len(vertices), len(triangles), seconds, *errors))
    return rows


def with_skimage(volume: NDArray[np.float32]) -> Callable[[], tuple]:
    from skimage.measure import marching_cubes

    return lambda: marching_cubes(volume, 0.0)[:2]


def with_open3d(volume: NDArray[np.float32]) -> Callable[[], tuple] | None:
    """None where open3d is not installed."""
    try:
        import open3d
    except ImportError:
        return None
    # Its volumes are (z, y, x).
    turned = open3d.core.Tensor(np.ascontiguousarray(volume.transpose(2, 1, 0)))

    def call() -> tuple:
        mesh = open3d.t.geometry.TriangleMesh.create_isosurfaces(turned, [0.0])
        return mesh.vertex.positions.numpy(), mesh.triangle.indices.numpy()

    return call


def backward(grid: TetGrid, sdf: torch.Tensor, repeats: int) -> float:
    """Seconds of one backward pass through field and positions."""
    field, positions = sdf.clone().requires_grad_(), grid.vertices.clone().requires_grad_()

    def once() -> float:
        loss = marching_tets(grid, positions, field)[0].square().sum()
        began = time.perf_counter()
        loss.backward()
        return time.perf_counter() - began

    return min(once() for _ in range(repeats))


def matched_volume(
    solid: Solid, low: NDArray[np.float32], high: NDArray[np.float32], vertices: int
) -> tuple[NDArray[np.float32], float]:
    """A cubic sampling on which marching cubes gives about `vertices` vertices."""
    from skimage.measure import marching_cubes

    step = 0.005
    for _ in range(3):  # the count goes with 1 / step^2
        volume = sample(solid, low, high, step)
        count = len(marching_cubes(volume, 0.0)[0])
        if abs(count / vertices - 1) < 0.02:
            break
        step *= (count / vertices) ** 0.5
    return sample(solid, low, high, step), step


def sample(
    solid: Solid, low: NDArray[np.float32], high: NDArray[np.float32], step: float
) -> NDArray[np.float32]:
    axes = [np.arange(a, b + step, step) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    index = np.arange(points[..., 0].size).reshape(points.shape[:3])
    edges = np.concatenate(
        [
            np.stack([np.delete(index, -1, k).ravel(), np.delete(index, 0, k).ravel()], axis=1)
            for k in range(3)
        ]
    )
    return solid.measure(points.reshape(-1, 3), LIMIT_M, edges).sdf.reshape(points.shape[:3])


def deviation(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], solid: Solid, head: NDArray[np.float32]
) -> tuple[float, float]:
    """Mean distance in mm from the surface to the head, and median from the head's skin to the surface."""
    rng = np.random.default_rng(0)
    corners = np.asarray(vertices, np.float64)[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = rng.choice(len(area), 20_000, p=area / area.sum())
    points = np.einsum("pcd,pc->pd", corners[chosen], rng.dirichlet((1, 1, 1), len(chosen)))
    there = solid.distance(points, LIMIT_M).mean()
    seen = head[np.unique(solid.triangles)].astype(np.float64)
    back = np.median(Solid(vertices, triangles).distance(seen, LIMIT_M))
    return 1e3 * float(there), 1e3 * float(back)


def best(call: Callable[[], tuple], repeats: int) -> tuple[float, tuple]:
    """The shortest of some runs, after one that warms up."""
    result = call()
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        result = call()
        spent.append(time.perf_counter() - began)
    return min(spent), result


if __name__ == "__main__":
    main()
