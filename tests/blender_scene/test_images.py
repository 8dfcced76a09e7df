"""Images in a .blend, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

_PACK = """
import json, sys
from pathlib import Path
import bpy
from id3d_engine.blender_scene.images import load_image

image = load_image("anna_albedo", Path(sys.argv[1]), "albedo")
image.use_fake_user = True
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2], compress=False)
bpy.ops.wm.open_mainfile(filepath=sys.argv[2])
image = bpy.data.images["anna_albedo"]
print("ANSWER" + json.dumps([list(image.size), image.colorspace_settings.name, list(image.pixels)]))
"""


@pytest.mark.skipif(find_spec("bpy") is None, reason="needs bpy")
def test_a_packed_map_is_whole_and_does_not_tell_where_it_lay(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 3)).astype(np.uint8)
    source = tmp_path / "of_somebody" / "private.head" / "albedo.png"
    source.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(source)
    blend = tmp_path / "out.blend"
    command = [sys.executable, "-c", _PACK, str(source), str(blend)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    answer = next(line for line in lines if line.startswith("ANSWER")).removeprefix("ANSWER")
    size, space, found = json.loads(answer)
    assert (size, space) == ([16, 8], "sRGB")
    assert np.abs(np.array(found).reshape(8, 16, 4)[::-1, :, :3] * 255 - pixels).max() < 0.01
    content = blend.read_bytes()
    assert b"private.head" not in content and b"of_somebody" not in content
