"""The extension's zip, built by Blender's own tool, and an executable that stands for the engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "examples" / "portrait.jpg"

# What `python -m id3d_engine generate ...` and `edit ...` look like from outside, without their minutes of
# work: it takes the same command line, prints the same lines, and copies a finished bundle.
_ENGINE = """#!{python}
import json, os, shutil, signal, sys, threading, time
arguments = sys.argv[1:]
options = dict(zip(arguments, arguments[1:]))
if arguments[:3] == ["-m", "id3d_engine", "identity"]:
    open(options["--out"], "w").close()
    sys.exit()
edited = arguments[3] if arguments[:3] == ["-m", "id3d_engine", "edit"] else ""
assert edited or arguments[:3] == ["-m", "id3d_engine", "generate"], arguments
text = next((a.removeprefix("--text=") for a in arguments if a.startswith("--text=")), "")
work = options["--out"] + ".partial"
def say(stage, step, steps, message="", **files):
    print(json.dumps(dict(stage=stage, step=step, steps=steps, elapsed_s=1.0, eta_s=9.0,
                          message=message, preview="") | files), flush=True)
def stop(number, frame):
    print("id3d: cancelled; run the same command with --resume", file=sys.stderr)
    sys.exit(130)
def watch():
    while os.read(0, 64):
        pass
    if text != "DEAF":
        os._exit(130)
signal.signal(signal.SIGTERM, signal.SIG_IGN if text == "DEAF" else stop)
if os.environ.get("ID3D_STOP_AT_END_OF_INPUT"):
    threading.Thread(target=watch, daemon=True).start()
print("a library that prints")
say("note", 0, 0, "two faces; the larger was taken")
if text == "FAIL":
    print("a warning\\nid3d: no face was found in me.jpg: use a sharp photo", file=sys.stderr)
    sys.exit(2)
os.makedirs(work, exist_ok=True)
with open(work + "/request.json", "w") as file:
    file.write(text)
say("sculpt", 3, 12)
if text == "LIVE" and "--resume" not in arguments:
    import numpy as np
    from safetensors.numpy import save_file
    for step in range(1, 4):
        surface = work + "/surface.safetensors"
        vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 0, step], [0, 1, 0]], np.float32)
        save_file(dict(vertices=vertices, triangles=np.array([[0, 1, 2], [0, 2, 3]], np.int32)), surface)
        say("sculpt", 3 + step, 12, surface=surface, preview={picture!r})
if text in ("WAIT", "DEAF", "LIVE") and "--resume" not in arguments:
    time.sleep(30)
while text == "HOLD" and not os.path.exists(work + "/go"):
    time.sleep(0.02)
shutil.copytree(edited or {bundle!r}, options["--out"])
if edited:
    with open(options["--out"] + "/head.json", "r+") as file:
        info = json.load(file)
        info["provenance"] |= dict(text=text, target=options["--target"], preset=options["--preset"],
                                   seed=int(options["--seed"]))
        file.seek(0)
        json.dump(info, file)
        file.truncate()
shutil.rmtree(work)
say("done", 1, 1)
"""


@pytest.fixture(scope="session")
def drive() -> Callable[..., list[str]]:
    """drive("drive_x.py", *arguments, home=FOLDER): the lines it prints in a Blender that knows no user.

    By custom the last line is JSON: what the script found out.
    """
    pytest.importorskip("bpy")

    def run(script: str, *arguments: object, home: Path, cwd: Path | None = None) -> list[str]:
        environment = os.environ | {"HOME": str(home), "BLENDER_USER_RESOURCES": str(home / "profile")}
        environment.pop("PYTHONPATH", None)
        command = [sys.executable, Path(__file__).with_name(script), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=cwd or home, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip().splitlines()

    return run


@pytest.fixture
def bundle(small_head, tmp_path) -> Path:
    return small_head.write(tmp_path / "anna.head", preview=False)


@pytest.fixture
def engine(bundle, tmp_path) -> Path:
    if sys.platform == "win32":
        pytest.skip("needs executable scripts")
    path = tmp_path / "engine"
    path.write_text(_ENGINE.format(python=sys.executable, bundle=str(bundle), picture=str(PICTURE)))
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
    for name in ("blender_manifest.toml", "__init__.py", "pyproject.toml", "blender_addon", "id3d_engine"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, source / name, **({"ignore": _ignored} if (ROOT / name).is_dir() else {}))
    target = tmp_path_factory.mktemp("zip") / "id3d.zip"
    command = [sys.executable, blender_ext, "build", "--source-dir", source, "--output-filepath", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def _ignored(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in ("__pycache__", "starter")]
