"""The one job of this Blender: followed by a timer, whatever happens to files, modes and undo steps.

The job belongs to the process, not to a file. If another .blend is opened meanwhile, or the mode is
another one at the end, the head is not forced in: the panel offers it instead.
"""

from __future__ import annotations

import atexit
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import bundles, history, live_head, pictures
from .engine import CANCELLED, EngineRun, describe
from .job_notes import Lock, Notes, Request
from .preferences import engine_command, engine_environment, engine_options, user_folder

_TICK_S = 0.1

# How a job ended.
DONE, READY, STOPPED, FAILED = "DONE", "READY", "STOPPED", "FAILED"


@dataclass(frozen=True)
class Outcome:
    """How the last job ended.

    Attributes:
        kind: DONE (in the scene), READY (made, to be imported), STOPPED or FAILED.
        sentence: What to tell the user.
        request: What was asked for, or None if it never came to that.
        log: The engine's log, or None.
        fix: The operator that helps, or empty.
        resumable: Whether there is something to go on from.
    """

    kind: str
    sentence: str
    request: Request | None = None
    log: Path | None = None
    fix: str = ""
    resumable: bool = False


@dataclass(eq=False)
class Job:
    """A running engine, and what it said last.

    Attributes:
        home: Whether the file in which it was started is still open.
        filepath: That file.
        notes: Sentences that the engine wants the user to read.
    """

    request: Request
    run: EngineRun
    lock: Lock
    scene: str
    filepath: str
    home: bool = True
    line: str = "Starting the engine"
    fraction: float = 0.0
    preview: str = ""
    previews: int = 0
    notes: list[str] = field(default_factory=list)

    def listen(self) -> dict[str, Any] | None:
        """Take in what the engine said since the last call; returns the newest surface, if there is one."""
        mesh = None
        for event in self.run.events():
            if event["stage"] == "note":
                self.notes.append(str(event.get("message", "")))
                continue
            if not self.run.cancelled:
                self.fraction, self.line = describe(event)
            if event.get("preview"):
                self.preview, self.previews = event["preview"], self.previews + 1
            mesh = event.get("mesh", mesh)
        return mesh

    def end(self, code: int) -> Outcome:
        """Let go of everything but the result, and say how it went."""
        live_head.remove()
        self.lock.release()
        notes, log = Notes(user_folder("jobs")), self.run.log
        if code == 0:
            return Outcome(READY, f"{self.request.name} is ready", self.request, log)
        resumable = self.request.resumable()
        notes.let_go(self.request)
        if self.run.cancelled or code == CANCELLED:
            text = "Resume goes on from where it stopped" if resumable else "nothing was added to the scene"
            return Outcome(STOPPED, f"Cancelled; {text}", self.request, log, resumable=resumable)
        fix = "id3d.check_engine" if "set up the engine" in self.run.reason() else ""
        return Outcome(FAILED, self.run.sentence(), self.request, log, fix, resumable)


current: Job | None = None
last: Outcome | None = None


def start(context: bpy.types.Context, request: Request, *, resume: bool) -> Job:
    """Start the engine; the caller follows the job, with `follow` or by waiting.

    Raises:
        Busy: another Blender is making this head.
        OSError: the engine cannot be started, or a folder cannot be written.
    """
    notes = Notes(user_folder("jobs"))
    lock = notes.lock(request)
    try:
        notes.write(request)
        log = user_folder("logs") / notes.path(request.out).with_suffix(".log").name
        command = [*engine_command(context), *request.arguments(resume=resume), *engine_options(context)]
        environment = engine_environment(context)
        run = EngineRun(command, user_folder("cache"), log, live_head.read, environment)
    except OSError:
        lock.release()
        notes.let_go(request)
        raise
    return Job(request, run, lock, context.scene.name, bpy.data.filepath)


def follow(job: Job) -> None:
    """Make `job` the running one, followed by a timer that outlives files."""
    global current, last
    current, last = job, None
    bpy.app.timers.register(tick, first_interval=_TICK_S, persistent=True)


def tick() -> float | None:
    """One look at the running job: seconds until the next, or None when there is nothing to follow."""
    global current
    job = current
    if job is None:
        return None
    try:
        code = job.run.poll()
        mesh, scene = job.listen(), bpy.data.scenes.get(job.scene)
        if code is None:
            if mesh is not None and job.home and scene is not None:
                live_head.show(scene, mesh, _old(job.request))
            _tell(job)
            return _TICK_S
    except Exception as error:
        # Whatever is wrong, nobody would follow the engine any more.
        job.run.kill()
        current = None
        outcome = job.end(job.run.wait())
        if outcome.kind != READY:
            advice = "press Resume" if outcome.resumable else "generate the head again"
            sentence = f"ID3D failed while it followed the engine ({error}): {advice}"
            outcome = replace(outcome, kind=FAILED, sentence=sentence)
        conclude(outcome)
        raise
    current = None
    outcome = job.end(code)
    conclude(_into_scene(job, outcome) if outcome.kind == READY else outcome)
    return None


def conclude(outcome: Outcome) -> None:
    """Remember how it ended, for the panel."""
    global last
    last = outcome
    history.forget()
    progress = bpy.context.window_manager.id3d
    progress.fraction, progress.text = 0.0, ""
    redraw()


def forget() -> None:
    """The user has read how it ended."""
    global last
    last = None
    redraw()


def kill() -> None:
    """End a running engine now, and forget the job; its checkpoints stay."""
    global current
    if current is not None:
        job, current = current, None
        job.run.kill()
        job.run.wait()
        job.lock.release()
        Notes(user_folder("jobs")).let_go(job.request)


def reported(error: RuntimeError) -> str:
    """The sentence of an operator that failed, which Blender raises."""
    return str(error).removeprefix("Error: ").strip()


def redraw() -> None:
    """Have the sidebars drawn again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def _tell(job: Job) -> None:
    progress = bpy.context.window_manager.id3d
    if (progress.text, progress.fraction) != (job.line, job.fraction):
        progress.fraction, progress.text = job.fraction, job.line
        redraw()


def _into_scene(job: Job, ready: Outcome) -> Outcome:
    """The finished head into the scene that it was made for, or why the user has to ask for it."""
    name, scene = job.request.name, bpy.data.scenes.get(job.scene)
    if not job.home or scene is None:
        return Outcome(READY, f"{name} is ready; another file is open, so it was not added", job.request)
    windows = bpy.context.window_manager.windows
    window = next((window for window in windows if window.scene == scene), None)
    if window is None:
        return Outcome(READY, f"{name} is ready; show the scene {scene.name} to add it", job.request)
    with bpy.context.temp_override(window=window):
        if bpy.context.mode != "OBJECT":
            return Outcome(READY, f"{name} is ready; add it in Object Mode", job.request)
        try:
            # With undo, so that one step takes the head away again.
            # Who has watched it grow has the view where it is wanted.
            seen = job.previews > 0
            old = _old(job.request)
            arguments = {"directory": job.request.out, "instead_of": job.request.head}
            bpy.ops.id3d.import_head("EXEC_DEFAULT", True, **arguments, frame=not seen)
        except RuntimeError as error:
            return Outcome(FAILED, reported(error), job.request, ready.log)
    if old is not None:
        return Outcome(DONE, f"{name} stands in the place of {old.name}, which is hidden", job.request)
    return Outcome(DONE, f"{name} was added to the scene", job.request)


def _old(request: Request) -> bpy.types.Object | None:
    """The head that is being changed, if it is in view."""
    return bundles.head_of(Path(request.head), bpy.context) if request.head else None


@persistent
def _before_load(*_: object) -> None:
    if current is not None and current.home:
        current.filepath = bpy.data.filepath


@persistent
def _after_load(*_: object) -> None:
    # Reverted, the file is still the same one; opened again later, it is so again.
    if current is not None:
        current.home = bool(bpy.data.filepath) and bpy.data.filepath == current.filepath


@persistent
def _after_undo(*_: object) -> None:
    if current is None:
        live_head.remove()  # an undo step from the time of a job brought it back


_HANDLERS = (
    (bpy.app.handlers.load_pre, _before_load),
    (bpy.app.handlers.load_post, _after_load),
    (bpy.app.handlers.undo_post, _after_undo),
    (bpy.app.handlers.redo_post, _after_undo),
)


def attach() -> None:
    """Follow files and undo steps; never outlive Blender."""
    live_head.attach()
    for handlers, function in _HANDLERS:
        handlers.append(function)
    atexit.register(_at_exit)


def detach() -> None:
    """Undo `attach`; a running engine ends."""
    kill()
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    atexit.unregister(_at_exit)
    for handlers, function in _HANDLERS:
        handlers.remove(function)
    live_head.detach()
    pictures.detach()


def _at_exit() -> None:
    # bpy may be gone already; the engine's process is not.
    if current is not None:
        with suppress(OSError):
            current.run.kill()
