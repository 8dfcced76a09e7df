"""A head's normals, forward and backward, by each way to see that the device has.

    python benchmarks/bench_render.py [--device auto] [--pixels 128 512] [--views 4] [--repeats 10]

    cpu     the Numba kernel, the reference (vertices and gradients cross over from a GPU)
    torch   plain operations on the device: where nvdiffrast is not installed or does not work
    cuda    nvdiffrast

Of a pass: milliseconds, and against the reference the pixels inside the outline that another triangle owns,
those of the same triangle that differ by more than 1e-4, and the cosine of the gradient. Prints a table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch
from torch import Tensor
from torch.nn import functional

from id3d_engine.device import pick
from id3d_engine.render.cameras import sample_cameras
from id3d_engine.render.normals import render_normals
from id3d_engine.render.visibility import visibility
from id3d_engine.template import load_template


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pixels", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=10, help="timed calls; the median counts (default 10)")
    options = parser.parse_args()
    device = pick(options.device)
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.get_num_threads()} thread(s)"
    )
    print(f"{device} ({name}); {options.views} views a pass\n")
    print("| px | way | ms a pass | over cpu | other triangles | differ | gradient's cosine |")
    print("|--:|---|--:|--:|--:|--:|--:|")
    for size in options.pixels:
        truth, reference = seen("cpu", device, size, options.views), 0.0
        for way in ("cpu", "torch", *(["cuda"] if device.type == "cuda" else [])):
            found = seen(way, device, size, options.views)
            ms = timed(way, device, size, options)
            reference = reference or ms
            print(
                f"| {size} | {way} | {ms:.1f} | {ms / reference:.2f} | {agreement(truth, found)} |",
                flush=True,
            )
    return 0


def seen(way: str, device: torch.device, size: int, views: int) -> tuple[Tensor, ...]:
    """Normals, masks, triangles by pixel, and the gradient of a fixed weighting."""
    template = load_template()
    vertices = torch.from_numpy(template.vertices).float().to(device).requires_grad_()
    cameras = sample_cameras(views, torch.Generator().manual_seed(0)).to(device)
    triangles = torch.from_numpy(template.triangles).to(device)
    normals, masks = render_normals(vertices, triangles, cameras, (size, size), way)
    weights = torch.rand(normals.shape, generator=torch.Generator().manual_seed(1)).to(device)
    ((normals * weights).sum() + (masks * weights[:, :1]).sum()).backward()
    ids = visibility(cameras.clip(vertices.detach()), triangles, (size, size), way)
    return normals.detach(), masks.detach(), ids, vertices.grad


def timed(way: str, device: torch.device, size: int, options: argparse.Namespace) -> float:
    spent = []
    for _ in range(options.repeats + 2):
        began = time.perf_counter()
        seen(way, device, size, options.views)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[2:]) * 1e3


def agreement(truth: tuple[Tensor, ...], found: tuple[Tensor, ...]) -> str:
    inside = functional.max_pool2d(-truth[1], 5, stride=1, padding=2) == -1
    same = (truth[2] == found[2])[:, None]
    wrong = (found[0] - truth[0]).abs().amax(dim=1, keepdim=True) > 1e-4
    others, differ = ((part & inside).sum() / inside.sum() for part in (~same, wrong & same))
    cosine = functional.cosine_similarity(found[3].flatten(), truth[3].flatten(), dim=0)
    return f"{float(others):.3%} | {float(differ):.3%} | {float(cosine):.4f}"


if __name__ == "__main__":
    sys.exit(main())
