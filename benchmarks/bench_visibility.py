"""Visibility: our CPU kernel against Embree (Open3D's RaycastingScene), the same meshes and views.

    python benchmarks/bench_visibility.py [--threads 1] [--views 4] [--repeats 5]

Both answer "which triangle does each pixel see" from float32 vertices that have just changed, as in
every optimisation step. So Embree's time is given with and without building its tree: a moving mesh
needs the tree anew, a resting one pays for it once. Prints a Markdown table; times are the best, a
view. "agree" is the share of pixels with the same triangle from both.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

SIZES = (256, 512, 1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="for both sides (default 1)")
    parser.add_argument("--views", type=int, default=4, help="views a call (default 4)")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls; the best counts (default 5)")
    options = parser.parse_args()
    # Before torch and Open3D start their pools.
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    try:
        import open3d  # noqa: F401
    except (ImportError, OSError) as error:
        print(f"this benchmark compares with Open3D, which does not load here ({error})", file=sys.stderr)
        return 1
    import torch

    torch.set_num_threads(options.threads)
    print(
        f"{options.threads} thread(s), {options.views} views a call, best of {options.repeats}, ms a view\n"
    )
    print(
        "| mesh | triangles | px | ours | Embree, tree + rays | ratio | Embree, rays only | ratio | agree |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, vertices, triangles in meshes():
        for size in SIZES:
            row = compare(vertices, triangles, size, options)
            print(f"| {name} | {len(triangles)} | {size} | {row} |", flush=True)
    return 0


def meshes():
    """The template head (an icosphere where it is missing), and it once and twice subdivided."""
    import numpy as np
    import trimesh

    from id3d_engine.template import TEMPLATE_FILE, load_template

    if TEMPLATE_FILE.is_file():
        template = load_template()
        name, vertices, triangles = "head", template.vertices, template.triangles
    else:
        ball = trimesh.creation.icosphere(subdivisions=5, radius=0.11)
        name, vertices, triangles = "ball", ball.vertices + np.array([0, 0, 0.115]), ball.faces
    for level in range(3):
        if level:
            vertices, triangles = trimesh.remesh.subdivide(vertices, triangles)
        yield f"{name} x{4**level}", np.asarray(vertices, np.float32), np.asarray(triangles, np.int32)


def compare(vertices, triangles, size: int, options: argparse.Namespace) -> str:
    import numpy as np
    import open3d as o3d
    import torch

    from id3d_engine.render.cameras import sample_cameras
    from id3d_engine.render.visibility import visibility

    cameras = sample_cameras(options.views, torch.Generator().manual_seed(0))
    points, faces = torch.from_numpy(vertices), torch.from_numpy(triangles)
    clip = cameras.clip(points)
    rays = o3d.core.Tensor(rays_of(cameras, size))

    def tree() -> o3d.t.geometry.RaycastingScene:
        scene = o3d.t.geometry.RaycastingScene(nthreads=options.threads)
        scene.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(triangles.astype(np.uint32)))
        return scene

    def cast(scene: o3d.t.geometry.RaycastingScene) -> np.ndarray:
        return scene.cast_rays(rays, nthreads=options.threads)["primitive_ids"].numpy()

    def build_and_cast() -> np.ndarray:
        # One tree serves all views of the call. Only a cast makes sure that it is built.
        return cast(tree())

    still = tree()
    ours = best_ms(lambda: visibility(clip, faces, (size, size), backend="cpu"), options)
    both = best_ms(build_and_cast, options)
    only = best_ms(lambda: cast(still), options)
    seen = visibility(clip, faces, (size, size), backend="cpu").numpy()
    agree = (seen == cast(still).astype(np.int64).astype(np.int32)).mean()
    return f"{ours:.2f} | {both:.2f} | {both / ours:.1f}x | {only:.2f} | {only / ours:.1f}x | {agree:.4%}"


def rays_of(cameras, size: int):
    """(B, S, S, 6) float32 origins and directions through the pixel centres."""
    import torch

    ndc = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(-ndc, ndc, indexing="ij")
    focal = cameras.projection[:, 0, 0].view(-1, 1, 1)
    local = torch.stack([x / focal, y / focal, -torch.ones(len(cameras), size, size)], -1)
    direction = local.flatten(1, 2) @ cameras.rotation  # transposed twice: camera to world
    origin = cameras.position[:, None].expand_as(direction)
    return torch.cat([origin, direction], -1).view(-1, size, size, 6).numpy()


def best_ms(call: Callable[[], object], options: argparse.Namespace) -> float:
    call()
    spent = []
    for _ in range(options.repeats):
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    return min(spent) / options.views * 1e3


if __name__ == "__main__":
    sys.exit(main())
