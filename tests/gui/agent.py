"""Runs inside Blender (`blender --python agent.py`): answers Python that comes through a socket.

It runs on Blender's main thread, between events. A request is Python text; the answer is JSON, {"value":
what the text left in `R`} or {"error": the traceback}.
"""

from __future__ import annotations

import json
import os
import socket
import traceback

import bpy

server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(os.environ["ID3D_GUI_SOCKET"])
server.listen()
server.setblocking(False)


def areas() -> list[dict]:
    """Rectangles of all regions in pixels from the top left, of the newest window."""
    window = bpy.context.window_manager.windows[-1]
    found = []
    for area in window.screen.areas:
        for region in area.regions:
            tab = area.type == "VIEW_3D" and region.type == "UI" and region.width > 1
            found.append(
                {
                    "area": area.type,
                    "region": region.type,
                    "x": region.x,
                    "y": window.height - region.y - region.height,
                    "width": region.width,
                    "height": region.height,
                    "tab": region.active_panel_category if tab else "",
                }
            )
    return found


names = {"bpy": bpy, "areas": areas}


def answer(text: str) -> dict:
    names.pop("R", None)
    try:
        exec(compile(text, "request", "exec"), names)
        return {"value": names.get("R")}
    except Exception:
        return {"error": traceback.format_exc()}


def listen() -> float:
    while True:
        try:
            client = server.accept()[0]
        except BlockingIOError:
            return 0.02
        with client:
            client.settimeout(5.0)
            with client.makefile("rw", encoding="utf-8") as stream:
                stream.write(json.dumps(answer(stream.read())))


bpy.app.timers.register(listen, persistent=True)
