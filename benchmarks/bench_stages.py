"""Time and peak memory of each stage of one head.

    python benchmarks/bench_stages.py [--preset draft] [--prior starter|FOLDER|sd15] [--device auto]
                                      [--photo examples/portrait.jpg] [--expressions all] [--pixels 512]
                                      [--gpu-gb 8] [--compile]

Prints a Markdown table: seconds a stage as `head.json` notes them, what lies between stages, and the peaks.
"sd15" is a prior of Stable Diffusion 1.5's architecture for `--pixels` with random weights and ArcFace's
dimension: the head is nobody's, its time is a production prior's. --gpu-gb leaves the process so much of the
GPU, as a smaller one would.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GB = 1e9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--prior", default="starter")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--photo", type=Path, default=Path("examples/portrait.jpg"))
    parser.add_argument("--expressions", default="all")
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--gpu-gb", type=float, help="of the GPU for this process (default all)")
    parser.add_argument("--compile", action="store_true", help="try torch.compile")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.prior == "sd15":
            # In a process of its own, so that the peak below is the head's.
            script = str(Path(__file__).with_name("random_prior.py"))
            subprocess.run([sys.executable, script, str(folder / "sd15"), str(options.pixels)], check=True)
        report(options, folder)
    return 0


def report(options: argparse.Namespace, folder: Path) -> None:
    """Make the head in this process, and print."""
    import torch
    from bench_sds_step import limit_gpu

    from id3d_engine import generate
    from id3d_engine.device import pick

    random = options.prior == "sd15"
    device = pick(options.device)
    limit_gpu(device, options.gpu_gb)
    began = time.monotonic()
    head = generate(
        None if random else [options.photo],
        identity=someone() if random else None,
        out=folder / "bench.head",
        prior=folder / "sd15" if random else options.prior,
        preset=options.preset,
        expressions=options.expressions,
        device=options.device,
        compiled=options.compile,
    )
    elapsed, timings = time.monotonic() - began, head.info["timings_s"]
    print(f"{device}; {options.prior}, {options.preset}, {len(head.expressions)} expressions\n")
    print("| stage | seconds |\n|---|--:|")
    for stage, seconds in timings.items():
        print(f"| {stage} | {seconds:.1f} |")
    print(f"| identity, start, loading, maps, bundle | {elapsed - sum(timings.values()):.1f} |")
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB
    print(f"| all | {elapsed:.1f} |\n\npeak memory {peak:.2f} GB")
    if device.type == "cuda":
        left = torch.cuda.memory_allocated(device) / GB
        peak = torch.cuda.max_memory_allocated(device) / GB
        print(f"peak GPU memory {peak:.2f} GB, {left:.3f} GB of it still taken at the end")


def someone():
    """A random ArcFace identity."""
    import numpy as np
    from random_prior import ARCFACE

    from id3d_engine.identity import Identity

    face = np.random.default_rng(0).normal(size=ARCFACE).astype(np.float32)
    return Identity(face / np.linalg.norm(face), "arcface")


if __name__ == "__main__":
    sys.exit(main())
