"""A finished head into the scene: our bundle reader against Blender's own import of the same head's GLB.

    python benchmarks/bench_import.py [--size 2048] [--repeats 5]

The head is the template with 65 shape keys, its quads split once (about 20,000 vertices) and four maps
with fine grain, because smooth maps would be files of unreal ease. Every repeat starts from an empty
scene and ends with the head evaluated and all images packed; both sides take turns within the one
process, so whatever else the machine does strikes both. "decoded" adds reading every map's pixels, which
Blender otherwise puts off until a map is drawn. Times are the best of the repeats; CPU seconds are this
process's own, which a busy machine does not stretch, so the ratio is theirs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Times = tuple[float, float, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=2048, help="pixels a side of each map (default 2048)")
    parser.add_argument("--repeats", type=int, default=5, help="timed loads a side; the best counts")
    options = parser.parse_args()
    if find_spec("bpy") is None:
        print("this benchmark needs Blender's Python module: pip install 'id3d-engine[bpy]'", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="id3d-") as folder:
        head = large_head(options.size)
        bundle = head.write(Path(folder) / "large.head", preview=False)
        megabytes = sum(path.stat().st_size for path in (bundle / "textures").iterdir()) / 1e6
        print(
            f"{len(head.vertices)} vertices, {len(head.names)} shape keys, 4 maps of {options.size} px "
            f"({megabytes:.0f} MB of PNG), best of {options.repeats}\n"
        )
        compare(bundle, options.repeats)
    return 0


def large_head(size: int):
    """The template's units and expressions on quads split in four, and maps with grain."""
    from id3d_engine.expressions import ARKIT_NAMES, select
    from id3d_engine.head import Head
    from id3d_engine.rig.units import pose
    from id3d_engine.template import load_template

    template = load_template()
    cast = select("all")
    keys = np.stack(
        [pose(template.arkit, e.recipe) for e in cast] + [template.arkit[name] for name in ARKIT_NAMES]
    )
    everything = np.concatenate([template.vertices[None], keys])
    vertices, faces, uv = split_quads(everything, template.faces, template.uv)
    grain = np.random.default_rng(0).normal(scale=0.02, size=(size, size))
    maps = {
        "albedo": np.array((0.72, 0.52, 0.43)) + grain[..., None],
        "roughness": 0.5 + grain,
        "specular": 0.45 + grain,
        "normal": np.stack([0.5 + grain, 0.5 - grain, np.ones_like(grain)], -1),
    }
    names = (*(e.name for e in cast), *ARKIT_NAMES)
    part = np.repeat(template.part, 4)
    return Head(vertices[0], faces, uv, part, vertices[1:], names, maps)


def split_quads(
    shapes: NDArray[np.float32], faces: NDArray[np.int32], uv: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """(N, V, 3), (F, 4), (F, 4, 2) -> each quad as four, with vertices at edges' and faces' middles."""
    following = np.roll(faces, -1, axis=1)
    ends = np.sort(np.stack([faces, following], -1).reshape(-1, 2), axis=1)
    edges, edge = np.unique(ends, axis=0, return_inverse=True)
    count = shapes.shape[1]
    edge = edge.reshape(faces.shape) + count
    middle = np.arange(len(faces)) + count + len(edges)
    shapes = np.concatenate([shapes, shapes[:, edges].mean(2), shapes[:, faces].mean(2)], axis=1)
    before = np.roll(edge, 1, axis=1)
    corners = np.stack([faces, edge, np.broadcast_to(middle[:, None], faces.shape), before], -1)
    uv_edge = (uv + np.roll(uv, -1, axis=1)) / 2
    uv_middle = np.broadcast_to(uv.mean(1, keepdims=True), uv.shape)
    uv_corners = np.stack([uv, uv_edge, uv_middle, np.roll(uv_edge, 1, axis=1)], 2)
    return shapes, corners.reshape(-1, 4).astype(np.int32), uv_corners.reshape(-1, 4, 2)


def compare(bundle: Path, repeats: int) -> None:
    """Print one row a way of loading."""
    import bpy

    from id3d_engine.blender_scene.bundle import read_bundle
    from id3d_engine.blender_scene.head import build_head

    def ours() -> None:
        build_head(read_bundle(bundle), bpy.context.scene)

    def gltf() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            bpy.ops.import_scene.gltf(filepath=str(bundle / "head.glb"))

    ways = {"ours": ours, "glTF importer": gltf}
    times: dict[str, list[Times]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, load in ways.items():
            times[name].append(measure(load))
    best = {name: np.min(rows, axis=0) for name, rows in times.items()}
    print("| way | seconds | CPU seconds | ratio | CPU seconds, decoded | ratio |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, (wall, cpu, decoded) in best.items():
        _, own_cpu, own_decoded = best["ours"]
        print(
            f"| {name} | {wall:.3f} | {cpu:.3f} | {cpu / own_cpu:.1f} "
            f"| {decoded:.3f} | {decoded / own_decoded:.1f} |"
        )


def measure(load: Callable[[], None]) -> Times:
    """Wall and CPU seconds until the head stands in the scene, CPU seconds until its maps are decoded."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    wall, cpu = time.perf_counter(), time.process_time()
    load()
    bpy.context.view_layer.update()
    wall, loaded = time.perf_counter() - wall, time.process_time() - cpu
    for image in bpy.data.images:
        assert len(image.pixels) > 0
    return wall, loaded, time.process_time() - cpu


if __name__ == "__main__":
    sys.exit(main())
