"""Time and peak memory of each stage of one head.

    python benchmarks/bench_stages.py [--preset draft] [--prior starter] [--photo examples/portrait.jpg]

Runs `id3d generate` in a process of its own, so that its memory is its own, and prints a Markdown
table: seconds a stage as `head.json` notes them, what lies between stages, and the peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--prior", default="starter")
    parser.add_argument("--photo", type=Path, default=Path("examples/portrait.jpg"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bench.head"
        command = [sys.executable, "-m", "id3d_engine", "generate", str(options.photo), "--out", str(out)]
        command += ["--preset", options.preset, "--prior", options.prior, "--progress", "none"]
        began = time.monotonic()
        code = subprocess.run(command, check=False).returncode
        elapsed = time.monotonic() - began
        if code:
            return code
        timings = json.loads((out / "head.json").read_text(encoding="utf-8"))["timings_s"]
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**30
    print("| stage | seconds |\n|---|--:|")
    for stage, seconds in timings.items():
        print(f"| {stage} | {seconds:.1f} |")
    print(f"| identity, start, loading, maps, bundle | {elapsed - sum(timings.values()):.1f} |")
    print(f"| all | {elapsed:.1f} |\n\npeak memory {peak:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
