"""A real Blender window on a screen of its own (Xvfb), driven with mouse and keys (xdotool)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

AGENT = Path(__file__).with_name("agent.py")
TAB_PIXELS = 13  # from the sidebar's right edge to the middle of its tabs


def wait_for(condition: Callable[[], Any], what: str, limit_s: float = 30.0) -> Any:
    """The first true answer of `condition`, asked ten times a second."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not within {limit_s:.0f} s")


class Window:
    """Blender in a window. Use it in a `with`; what it shows goes into `out` as PNG files."""

    def __init__(self, blender: str, profile: Path, out: Path, width: int = 1600, height: int = 1000) -> None:
        self.out = out
        self._folder = tempfile.TemporaryDirectory(prefix="id3d-gui-")
        self._socket = Path(self._folder.name) / "socket"
        ready, told = os.pipe()
        self._screen = subprocess.Popen(
            ["Xvfb", "-displayfd", str(told), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"],
            pass_fds=[told],
            stderr=subprocess.DEVNULL,
        )
        os.close(told)
        with os.fdopen(ready) as stream:
            display = stream.readline().strip()
        self._environment = os.environ | {
            "DISPLAY": f":{display}",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "BLENDER_USER_RESOURCES": str(profile),
            "ID3D_GUI_SOCKET": str(self._socket),
        }
        command = [blender, "--window-geometry", "0", "0", str(width), str(height), "--python", str(AGENT)]
        with (out / "blender.log").open("wb") as log:
            self.blender = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def __enter__(self) -> Window:
        try:
            wait_for(self._socket.exists, "Blender's window", 120.0)
            self.ask("R = 1")
            self.park()
            self.key("Escape")  # the splash
            self.settle()
        except BaseException:
            self.__exit__(None)
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None and self.blender.poll() is None:
            self.picture("failure")
        for process in (self.blender, self._screen):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    def ask(self, text: str, limit_s: float = 120.0) -> Any:
        """Run `text` in Blender; returns what it leaves in `R`."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(limit_s)
            client.connect(str(self._socket))
            client.sendall(text.encode())
            client.shutdown(socket.SHUT_WR)
            with client.makefile(encoding="utf-8") as stream:
                told = stream.read()
        if not told:
            raise RuntimeError(f"Blender died (exit {self.blender.poll()}): see {self.out / 'blender.log'}")
        answer = json.loads(told)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def picture(self, name: str, region: dict | None = None) -> Path:
        """The screen, or one region of it, as OUT/NAME.png."""
        path = self.out / f"{name}.png"
        cut = []
        if region is not None:
            cut = ["-crop", f"{region['width']}x{region['height']}+{region['x']}+{region['y']}", "+repage"]
        self._x("import", "-window", "root", *cut, str(path))
        return path

    def settle(self, limit_s: float = 10.0) -> None:
        """Wait until the screen stands still."""
        last, same, end = b"", 0, time.monotonic() + limit_s
        while same < 2 and time.monotonic() < end:
            now = self._x("import", "-window", "root", "rgb:-")
            last, same = now, same + 1 if now == last else 0
            time.sleep(0.1)

    def region(self, area: str = "VIEW_3D", region: str = "UI") -> dict:
        """Rectangle of the newest window's first region of that kind."""
        return next(r for r in self.ask("R = areas()") if (r["area"], r["region"]) == (area, region))

    def move(self, x: float, y: float) -> None:
        # A button notices the mouse only by a movement that lies within it.
        self._do("mousemove", int(x) - 1, int(y), "sleep", 0.03, "mousemove", int(x), int(y), "sleep", 0.08)

    def click(self, x: float, y: float) -> None:
        self.move(x, y)
        self._do("mousedown", 1, "sleep", 0.06, "mouseup", 1, "sleep", 0.06)

    def drag(self, x: float, y: float, by: float) -> None:
        """Press at a point, move to the right by `by` pixels, let go."""
        self.move(x, y)
        self._do("mousedown", 1)
        for part in range(1, 11):
            self._do("sleep", 0.03, "mousemove", int(x + by * part / 10), int(y))
        self._do("sleep", 0.06, "mouseup", 1, "sleep", 0.06)

    def key(self, *keys: str) -> None:
        for name in keys:
            self._do("key", "--delay", 40, name, "sleep", 0.06)

    def scroll(self, clicks: int) -> None:
        """Turn the wheel under the mouse; down is positive."""
        for _ in range(abs(clicks)):
            self._do("click", 5 if clicks > 0 else 4, "sleep", 0.03)

    def open_tab(self, name: str, width: int) -> dict:
        """The sidebar, opened with N at `width` pixels and with this tab in front."""
        self.park()
        if self.region()["width"] <= 1:
            self.key("n")
            self.settle()
        sidebar = self.region()
        self._widen(sidebar, width)
        sidebar = self.region()
        for y in range(sidebar["y"] + 12, sidebar["y"] + sidebar["height"], 18):
            self.click(sidebar["x"] + sidebar["width"] - TAB_PIXELS, y)
            if self.region()["tab"] == name:
                self.settle()
                return self.region()
        raise LookupError(f"there is no tab {name!r} in the sidebar")

    def hover(self, x: float, y: float) -> str:
        """What Ctrl-C copies from the button at a point: an operator's command, or a value."""
        self.move(x, y)
        self.ask("bpy.context.window_manager.clipboard = ''")
        self.key("ctrl+c")
        return self.ask("R = bpy.context.window_manager.clipboard")

    def find(self, wanted: Callable[[str], bool], across: float = 0.4) -> tuple[int, int]:
        """Middle of the first button down the sidebar whose Ctrl-C text is `wanted`."""
        sidebar = self.region()
        x, hits = int(sidebar["x"] + across * sidebar["width"]), []
        for y in range(sidebar["y"] + 4, sidebar["y"] + sidebar["height"], 8):
            if wanted(self.hover(x, y)):
                hits.append(y)
            elif hits:
                break
        if not hits:
            raise LookupError("the sidebar has no such button")
        return x, (hits[0] + hits[-1]) // 2

    def button(self, operator: str, across: float = 0.4) -> tuple[int, int]:
        """Middle of the button that runs `bpy.ops.OPERATOR`."""
        return self.find(lambda text: text.startswith(f"bpy.ops.{operator}("), across)

    def park(self) -> None:
        """The mouse over the viewport, away from everything."""
        view = self.region("VIEW_3D", "WINDOW")
        self.move(view["x"] + 0.3 * view["width"], view["y"] + 0.9 * view["height"])

    def focus(self) -> None:
        """Give the main window the keyboard, after others were closed."""
        found = self._x("xdotool", "search", "--onlyvisible", "--class", "blender").split()
        self._do("windowfocus", "--sync", min(map(int, found)))

    def _widen(self, sidebar: dict, width: int) -> None:
        self.drag(sidebar["x"], sidebar["y"] + sidebar["height"] * 0.9, sidebar["width"] - width)
        self.settle()

    def _do(self, *arguments: object) -> None:
        self._x("xdotool", *map(str, arguments))

    def _x(self, *command: str) -> bytes:
        return subprocess.run(
            command, env=self._environment, check=True, timeout=60, stdout=subprocess.PIPE
        ).stdout
