"""The extension's zip, built by Blender's own tool, and an executable that stands for the engine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What `python -m id3d_engine generate ...` looks like from outside, without its minutes of work: it
# takes the same command line, prints the same lines, and copies a finished bundle.
_ENGINE = """#!{python}
import json, shutil, signal, sys, time
arguments = sys.argv[1:]
assert arguments[:3] == ["-m", "id3d_engine", "generate"], arguments
options = dict(zip(arguments, arguments[1:]))
def say(stage, step, steps, message=""):
    print(json.dumps(dict(stage=stage, step=step, steps=steps, elapsed_s=1.0, eta_s=9.0,
                          message=message, preview="")), flush=True)
def stop(number, frame):
    print("id3d: cancelled; run the same command with --resume", file=sys.stderr)
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
print("a library that prints")
say("note", 0, 0, "two faces; the larger was taken")
say("sculpt", 3, 12)
if "--text=FAIL" in arguments:
    print("a warning\\nid3d: no face was found in me.jpg: use a sharp photo", file=sys.stderr)
    sys.exit(2)
if "--text=WAIT" in arguments:
    time.sleep(30)
shutil.copytree({bundle!r}, options["--out"])
say("done", 1, 1)
"""


@pytest.fixture
def bundle(small_head, tmp_path) -> Path:
    return small_head.write(tmp_path / "anna.head", preview=False)


@pytest.fixture
def engine(bundle, tmp_path) -> Path:
    if sys.platform == "win32":
        pytest.skip("needs executable scripts")
    path = tmp_path / "engine"
    path.write_text(_ENGINE.format(python=sys.executable, bundle=str(bundle)))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def blender_ext() -> Path:
    """Blender's extension tool, inside the bpy package."""
    spec = find_spec("bpy")
    if spec is None or spec.origin is None:
        pytest.skip("needs bpy")
    (tool,) = Path(spec.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py")
    return tool


@pytest.fixture(scope="session")
def extension_zip(blender_ext, tmp_path_factory) -> Path:
    """Built from what ships, without the weights that other tests may be rewriting."""
    source = tmp_path_factory.mktemp("source")
    for name in ("blender_manifest.toml", "__init__.py", "blender_addon", "id3d_engine"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, source / name, **({"ignore": _ignored} if (ROOT / name).is_dir() else {}))
    target = tmp_path_factory.mktemp("zip") / "id3d.zip"
    command = [sys.executable, blender_ext, "build", "--source-dir", source, "--output-filepath", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def _ignored(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in ("__pycache__", "starter")]
