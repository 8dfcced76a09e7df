"""Runs in a process of its own: uses everything in the expressions' panel, prints facts.

    python drive_animation.py FOLDER EXPRESSIONS UNITS

FOLDER is for recordings; EXPRESSIONS and UNITS are the head's shape keys, comma-separated. Facts go
out as the last line, JSON.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import bpy
from made_up import activate, add_head, attempt, curves, load_addon

FOLDER = Path(sys.argv[1])
EXPRESSIONS, UNITS = (tuple(names.split(",")) for names in sys.argv[2:])
NAMES = EXPRESSIONS + UNITS
ROTATIONS = [f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll")]
facts: dict = {}
operators = bpy.ops.id3d


def values() -> dict[str, float]:
    """Every key that is not at 0."""
    return {key.name: round(key.value, 4) for key in keys.key_blocks if key.value != 0}


def zero() -> None:
    for key in keys.key_blocks:
        key.value = 0.0


def recording(name: str, rows: list[tuple[str, list[float]]], columns=None) -> str:
    """Write a recording as the app does; a row is a timecode and values, none where the face was lost."""
    columns = columns or [unit[0].upper() + unit[1:] for unit in UNITS] + ROTATIONS
    lines = [",".join(["Timecode", "BlendShapeCount", *columns])]
    for timecode, row in rows:
        cells = [f"{value:.8f}" for value in row] or [""] * len(columns)
        lines.append(",".join([timecode, str(len(row)), *cells]))
    path = FOLDER / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def clock(frame: int, rate: int = 60, start: int = 51_730) -> str:
    """14:22:10 and on, as HH:MM:SS:FF.fff."""
    second = start + frame // rate
    return f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}:{frame % rate:02}.250"


addon = load_addon()
facts["no_head"] = attempt(operators.reset_expressions)
head = add_head(NAMES)
keys = head.data.shape_keys
scene = bpy.context.scene
slider = keys.key_blocks

# Values.
slider["jawOpen"].value, slider["smile"].value = 0.5, 0.25
facts["reset"] = [attempt(operators.reset_expressions), values()]
slider["mouthSmileLeft"].value, slider["jaw_right"].value, slider["jawOpen"].value = 0.75, 0.5, 0.25
slider["browDownLeft"].value, slider["browDownRight"].value = 1.0, 0.125
facts["mirror"] = [attempt(operators.mirror_expressions), values()]
zero()
slider["jawOpen"].value = 0.5
facts["blend"] = [attempt(operators.blend_expressions, first="grin", second="sadness", factor=0.25), values()]
facts["blend_unknown"] = attempt(operators.blend_expressions, first="grin", second="joy")
zero()
settings = scene.id3d_expressions
settings.first, settings.second, settings.factor = "smile", "anger", 0.75
facts["blend_slider"] = values()

# Favourites.
facts["favourites"] = settings.names()
operators.toggle_favourite(name="smile")
operators.toggle_favourite(name="jawOpen")
facts["favourites_changed"] = [settings.names()[0], settings.names()[1], settings.names()[-1]]

# Keyframes.
zero()
slider["smile"].value, slider["jawOpen"].value = 0.5, 1.0
scene.frame_set(7)
facts["key_favourites"] = attempt(operators.key_expressions, which="FAVOURITES")
facts["keyed_favourites"] = sorted(curves(keys))
facts["key_nonzero"] = attempt(operators.key_expressions, which="NONZERO")
facts["keyed_nonzero"] = sorted(set(curves(keys)) - set(settings.names()))
facts["key_all"] = attempt(operators.key_expressions)
facts["keyed_all"] = [
    len(curves(keys)),
    [tuple(point.co) for point in curves(keys)["jawOpen"].keyframe_points],
    "Basis" in curves(keys),
]
first_action = keys.animation_data.action
keys.animation_data_clear()
zero()
facts["key_nothing"] = attempt(operators.key_expressions, which="NONZERO")
scene.tool_settings.use_keyframe_insert_auto = True
slider["smile"].value = 0.5
operators.reset_expressions()
facts["auto_keyed"] = {name: curve.keyframe_points[0].co[1] for name, curve in curves(keys).items()}
scene.tool_settings.use_keyframe_insert_auto = False
keys.animation_data_clear()

# The example.
scene.frame_set(1)
facts["example"] = attempt(operators.example_animation, start_frame=11)
action = keys.animation_data.action
played = {}
for frame in range(1, 210):
    scene.frame_set(frame)
    played[frame] = values()
begin, end = action.frame_range
lids = {"eyeBlinkLeft", "eyeBlinkRight"}
moods = {frame: {name: pose[name] for name in {*pose} - lids} for frame, pose in played.items()}
shut = [pose.get("eyeBlinkLeft", 0) > 0.8 for pose in played.values()]
facts["example_played"] = {
    "shown": sorted(set().union(*played.values())),
    "range": [begin, end],
    "before_and_after": [frame for frame, pose in played.items() if pose and not begin < frame < end],
    "highest": max(max(pose.values(), default=0) for pose in moods.values()),
    "together": max(sum(value > 0.01 for value in pose.values()) for pose in moods.values()),
    "fastest": max(
        abs(moods[frame + 1].get(name, 0) - pose.get(name, 0))
        for frame, pose in moods.items()
        if frame + 1 in moods
        for name in EXPRESSIONS
    ),
    "blinks": sum(now and not before for before, now in pairwise(shut)),
}
facts["slots"] = bpy.app.version < (4, 4) or [slot.target_id_type for slot in action.slots]

# A recording of three seconds: the jaw opens linearly, then closes; shown at 24 frames a second.
scene.render.fps, scene.render.fps_base, scene.frame_end = 24, 1.0, 50
ramp = [min(f, 180 - f) / 90 for f in range(181)]
jaw = UNITS.index("jawOpen")
rows = [(clock(f), [0.0] * jaw + [ramp[f]] + [0.0] * (51 - jaw) + [0.1] * 9) for f in range(181)]
rows[60], rows[:0] = (clock(60), []), [(clock(-60), [])]  # no face; one second before it came
former = keys.animation_data.action
facts["import"] = attempt(
    operators.import_live_link, filepath=recording("take one.csv", rows), start_frame=77
)
track = curves(keys)["jawOpen"].keyframe_points
facts["imported"] = {
    "action": keys.animation_data.action.name,
    "curves": len(curves(keys)),
    "frames": [track[0].co[0], track[-1].co[0], len(track)],
    "values": [track[0].co[1], track[24].co[1], track[42].co[1], track[60].co[1], track[96].co[1]],
    "former": [former.name, former.use_fake_user],
    "scene_end": scene.frame_end,
}
scene.frame_set(119)
facts["imported"]["played"] = values()
again = attempt(operators.import_live_link, filepath=str(FOLDER / "take one.csv"), extend_scene=True)
facts["extended"] = [again, scene.frame_end]

# NTSC, a recording at 30, over midnight, with some columns only and in another case.
scene.render.fps, scene.render.fps_base = 30, 1.001
rows = [(clock(f, 30, 86_398), [f / 120, 1.0]) for f in range(121)]
attempt(operators.import_live_link, filepath=recording("night.csv", rows, ["JAWOPEN", "Whiskers"]))
track = curves(keys)["jawOpen"].keyframe_points
facts["midnight"] = [sorted(curves(keys)), len(track), track[-1].co[0], round(track[-1].co[1], 3)]

# What cannot be read leaves nothing behind.
before = [sorted(action.name for action in bpy.data.actions), keys.animation_data.action.name]
head_line = "Timecode,BlendShapeCount,JawOpen\n"
bad = {
    "missing": None,
    "empty": b"",
    "binary": b"\xff\xfe\x00\x81\x00\x00",
    "other": b"name,age\nanna,3\n",
    "no_rows": head_line.encode(),
    "one_row": (head_line + "00:00:00:01.0,1,0.5\n").encode(),
    "clock": (head_line + "00:00:00:01.0,1,0.5\nsoon,1,0.5\n").encode(),
    "short": (head_line.strip() + ",MouthLeft\n00:00:00:01.0,2,0.5,0\n00:00:00:02.0,2,0.5\n").encode(),
    "word": (head_line + "00:00:00:01.0,1,0.5\n00:00:00:02.0,1,wide\n").encode(),
    "nan": (head_line + "00:00:00:01.0,1,0.5\n00:00:00:02.0,1,nan\n").encode(),
    "nothing": b"Timecode,BlendShapeCount,HeadYaw\n00:00:00:01.0,1,0.5\n00:00:00:02.0,1,0.6\n",
}
facts["bad"] = {}
for name, payload in bad.items():
    path = FOLDER / f"{name}.csv"
    if payload is not None:
        path.write_bytes(payload)
    facts["bad"][name] = attempt(operators.import_live_link, filepath=str(path))
after = [sorted(action.name for action in bpy.data.actions), keys.animation_data.action.name]
facts["left_behind"] = before == after

# A minute, every unit moving, on a scene at the same rate.
scene.render.fps, scene.render.fps_base = 60, 1.0
rows = [(clock(f), [(f * (unit + 3)) % 100 / 100 for unit in range(61)]) for f in range(3600)]
path = recording("minute.csv", rows)
begin = time.process_time()
facts["minute"] = attempt(operators.import_live_link, filepath=path)
facts["minute_s"] = time.process_time() - begin
facts["minute_keyframes"] = sum(len(curve.keyframe_points) for curve in curves(keys).values())

# Taken off again.
played = keys.animation_data.action
facts["removed"] = [attempt(operators.remove_animation), values(), played.use_fake_user]
facts["remove_nothing"] = attempt(operators.remove_animation)

# Another object, a linked head, no expressions.
empty = bpy.data.objects.new("empty", None)
scene.collection.objects.link(empty)
activate(empty)
facts["not_a_head"] = attempt(operators.example_animation)
activate(add_head(("frown",)))
facts["unusual_head"] = attempt(operators.example_animation)
bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "heads.blend"))
bpy.ops.wm.read_factory_settings(use_empty=True)
with bpy.data.libraries.load(str(FOLDER / "heads.blend"), link=True) as (_, linked):
    linked.objects = ["anna"]
bpy.context.scene.collection.objects.link(linked.objects[0])
activate(linked.objects[0])
facts["linked"] = attempt(operators.reset_expressions)

addon.unregister()
facts["unregistered"] = [
    hasattr(bpy.types, "ID3D_PT_expressions"),
    hasattr(bpy.types.Scene, "id3d_expressions"),
]
print(json.dumps(facts))
