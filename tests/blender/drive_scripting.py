"""Runs in a process of its own: the samples of docs/scripting, and the API beside the operator.

    python drive_scripting.py ZIP BUNDLE ENGINE PHOTO SAMPLES

ENGINE is an executable that stands for the engine's Python; facts go out as the last line, JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import runpy
import shutil
import sys
from pathlib import Path

import bpy
import numpy as np

ZIP, BUNDLE, ENGINE, PHOTO, SAMPLES = sys.argv[1:]
facts: dict = {}

bpy.ops.wm.read_factory_settings(use_empty=True)
# Not the usual repository: the look-up has to find it in any.
repository = bpy.context.preferences.extensions.repos.new(name="Studio", module="studio_tools")
bpy.ops.extensions.package_install_files(filepath=ZIP, repo="studio_tools", enable_on_install=True)
name = next(a.module for a in bpy.context.preferences.addons if a.module.endswith(".id3d"))
facts["module"] = name
id3d = importlib.import_module(name)
bpy.context.preferences.addons[name].preferences.python = ENGINE


def vertices(thing) -> list[float]:
    found = np.empty(len(thing.data.vertices) * 3, np.float32)
    thing.data.shape_keys.key_blocks["smile"].points.foreach_get("co", found)
    return found.round(7).tolist()


head = id3d.api.generate(photos=[PHOTO], text="bald", seed=3)
facts["api"] = {"type": type(head).__name__, "active": head == bpy.context.view_layer.objects.active}
bpy.ops.id3d.generate_head(photos=PHOTO, text="bald", seed=3)
facts["same"] = vertices(head) == vertices(bpy.context.view_layer.objects.active)
facts["loaded"] = vertices(head) == vertices(id3d.api.load(BUNDLE))
for label, action in (
    ("no_photo", lambda: id3d.api.generate(photos=["/nowhere/me.jpg"])),
    ("no_face", lambda: id3d.api.generate(photos=PHOTO, text="FAIL")),
    ("no_head", lambda: id3d.api.load("/nowhere/x.head")),
):
    try:
        action()
    except RuntimeError as error:
        facts[label] = str(error)


def run(script: str, *arguments: object) -> str:
    """What a sample prints."""
    sys.argv = ["blender", "--", *map(str, arguments)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        runpy.run_path(str(Path(SAMPLES) / script), run_name="__main__")
    return printed.getvalue()


facts["01"] = run("01_generate_from_photo.py", "01.blend", PHOTO)
facts["02"] = run("02_pose_and_render.py", BUNDLE, "02.png", "smile=0.8", "jawOpen=0.3")
image = bpy.data.images.load(str(Path("02.png").resolve()))
pixels = np.array(image.pixels[:]).reshape(-1, 4)[:, :3]
facts["picture"] = {"size": list(image.size), "mean": float(pixels.mean()), "spread": float(pixels.std())}

Path("take.csv").write_text(
    "Timecode,BlendShapeCount,JawOpen,EyeBlinkLeft\n"
    + "".join(f"10:00:00:{frame:02}.000,2,{frame / 10},{1 - frame / 10}\n" for frame in range(11))
)
facts["03"] = run("03_animate_from_csv.py", BUNDLE, "take.csv", "03.blend")
facts["04"] = run("04_relight.py", BUNDLE, "lights")
for person in ("anna", "bert"):
    Path("people", person).mkdir(parents=True)
    shutil.copy(PHOTO, Path("people", person, "1.jpg"))
Path("people", "nobody").mkdir()
facts["05"] = run("05_batch_over_folders.py", "people", "05.blend")
facts["people"] = sorted(thing.name for thing in bpy.data.objects)
facts["06"] = run("06_export_gltf.py", BUNDLE, "06.glb")
facts["07"] = run("07_change_by_text.py", BUNDLE, "07.blend", "bald", "with a beard")
facts["changed"] = {thing.name: thing.visible_get() for thing in bpy.data.objects}
facts["files"] = sorted(path.as_posix() for path in Path().rglob("*.*") if path.parts[0] != "people")
print(json.dumps(facts))
