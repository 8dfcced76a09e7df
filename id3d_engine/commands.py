"""What each command of `id3d` does with its options. Heavy imports stay inside the functions."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from .console import cancel_on_signal
from .errors import Cancelled, InputError
from .job import Listener, Progress
from .progress_bar import duration, listener_for

Settings = TypeVar("Settings", bound=Any)


def generate(options: argparse.Namespace) -> None:
    """`id3d generate`: see `id3d_engine.generate`."""
    from .expressions import select
    from .head import check_destination

    if bool(options.photos) == bool(options.id):
        raise InputError("give photos of one person, or an identity file with --id, and not both")
    _require_files(options.photos, options.id)
    select(options.expressions)
    check_destination(options.out, overwrite=options.overwrite)
    if options.blend is not None:
        from .blender_scene.formats import check_file_name
        from .export.through_blender import require_bpy

        check_file_name(options.blend, "blend")
        require_bpy()

    from .generate import generate as run

    began = time.monotonic()
    listener = listener_for(options.progress)
    with cancel_on_signal() as cancel:
        run(
            options.photos or None,
            identity=options.id,
            out=options.out,
            text=options.text,
            prior=options.prior,
            preset=options.preset,
            expressions=options.expressions,
            topology=options.topology,
            device=options.device,
            compiled=options.compile,
            seed=options.seed,
            resume=options.resume,
            listener=listener,
            cancel=cancel,
            save_identity=options.save_identity,
            overwrite=options.overwrite,
        )
        if options.blend is not None:
            from .export.through_blender import write_blend

            write_blend(options.out, options.blend, cancel)
    _ready(options.out, began, listener, options.progress)
    if options.blend is not None and options.progress != "json":
        print(f"{options.blend} opens in Blender")


def edit(options: argparse.Namespace) -> None:
    """`id3d edit`: see `id3d_engine.edit`."""
    photos: list[Path] = options.photo or []
    if photos and options.id:
        raise InputError("give photos of one person, or an identity file with --id, and not both")
    _require_files(photos, options.id)

    from .edit import edit as run

    out: Path = options.out or options.head.with_name(f"{options.head.stem}-edit.head")
    began = time.monotonic()
    listener = listener_for(options.progress)
    with cancel_on_signal() as cancel:
        run(
            options.head,
            text=options.text,
            target=options.target,
            out=out,
            photos=photos or None,
            identity=options.id,
            prior=options.prior,
            preset=options.preset,
            device=options.device,
            compiled=options.compile,
            seed=options.seed,
            resume=options.resume,
            overwrite=options.overwrite,
            listener=listener,
            cancel=cancel,
        )
    _ready(out, began, listener, options.progress)


def evaluate(options: argparse.Namespace) -> int:
    """`id3d evaluate`: exit code 1 if the bundle has a problem."""
    from .evaluate import evaluate as measure
    from .evaluate import text

    if (options.head is None) == (options.people is None):
        raise InputError("name a head to measure, or how many --people the method is measured on, not both")
    if options.people is not None:
        return _yardstick(options)
    if options.out is not None:
        raise InputError("--out is for --people: what is measured of a head is printed")
    photos: list[Path] = options.photo or []
    _require_files(photos)
    found = measure(options.head, photos)
    print(json.dumps(found.to_json(), indent=2) if options.json else text(found))
    return 1 if found.problems else 0


def _yardstick(options: argparse.Namespace) -> int:
    from .yardstick.run import run

    if options.out is None:
        raise InputError("say where the heads and the report go: add --out FOLDER")
    report = run(
        options.out,
        people=options.people,
        methods=_names(options.methods),
        prior=options.prior,
        preset=options.preset,
        dataset=options.dataset,
        judge=options.judge,
        say=_say,
    )
    print(json.dumps(report.to_json(), indent=2) if options.json else report.to_markdown())
    return 0


def identity(options: argparse.Namespace) -> None:
    """`id3d identity`: photos to a file that holds no photo."""
    from .identity import identify

    _require_files(options.photos)
    found = identify(options.photos, options.encoder, notes=_say)
    found.save(options.out)
    print(f"{options.out}: {found.encoder} identity from {found.sources} of {len(options.photos)} photo(s)")


def export(options: argparse.Namespace) -> None:
    """`id3d export`: the bundle in other formats."""
    from .blender_scene.formats import check_file_name
    from .export import through_blender
    from .head import Head

    source: Path = options.head
    kind: str = options.to
    out: Path = options.out or source.with_suffix(f".{kind}")
    check_file_name(out, kind)
    if kind == "obj":
        from .export.obj import write_obj

        head = Head.read(source)
        names = head.names if options.expressions == "all" else _names(options.expressions)
        written = write_obj(head, out, names)
        print("\n".join(str(path) for path in written))
        return
    if options.expressions:
        raise InputError(f"--expressions is for obj: a {kind} file always carries all of them")
    if kind == "glb":
        from .export.glb import write_glb

        write_glb(Head.read(source), out, morph_normals=options.morph_normals)
    elif kind == "blend":
        through_blender.write_blend(source, out)
    else:
        through_blender.convert(source, out, kind)
    print(out)


def relight(options: argparse.Namespace) -> None:
    """`id3d relight`: three views under one light, as a PNG."""
    from .blender_scene.formats import check_file_name
    from .export.whole import write_whole
    from .head import Head
    from .png import encode_png
    from .relight import render_relit

    out: Path = options.out or options.head.with_name(f"{options.head.stem}_{options.light}.png")
    check_file_name(out, "png")
    head = Head.read(options.head)
    image = render_relit(head, options.light, expression=options.expression, size=options.size)
    write_whole(out, encode_png(image))
    print(out)


def doctor(options: argparse.Namespace) -> int:
    """`id3d doctor`: exit code 1 if something required is missing."""
    from . import doctor as clinic

    checks = clinic.examine()
    print(json.dumps(clinic.report(checks), indent=2) if options.json else clinic.text(checks))
    return 0 if clinic.healthy(checks) else 1


def dataset(options: argparse.Namespace) -> None:
    """`id3d dataset`: stopped and called again, it goes on where it was."""
    from .priors.training.dataset import DatasetConfig, build_dataset
    from .scans import FOR_SCANS

    _notice(options.encoder)
    asked = {f.name: getattr(options, f.name) for f in fields(DatasetConfig) if f.name != "source"}
    how: dict[str, Any] = {"workers": options.workers, "listener": listener_for(options.progress)}
    with _going_on_by_itself() as cancel:
        how["cancel"] = cancel
        if options.scans is None:
            shards = build_dataset(options.out, _with(DatasetConfig(), **asked), **how)
        else:
            if options.subjects or options.first_seed:
                raise InputError(
                    "--subjects and --first-seed are for drawn heads: a folder of scans has its own"
                )
            shards = _scanned(options.scans, options.out, _with(FOR_SCANS, **asked), how)
    _say(f"{len(shards)} shard(s) in {options.out}")


def _notice(encoder: str) -> None:
    """Say what an encoder's licence is; better now than after the work that it is not installed."""
    from .identity.encoders import load_encoder

    if notice := load_encoder(encoder).notice:
        _say(notice)


def _scanned(scans: Path, out: Path, config: Any, how: dict[str, Any]) -> list[Path]:
    from .scans import scanned_dataset

    shards, faceless = scanned_dataset(scans, out, config, **how)
    if faceless:
        _say(f"left out, since no face was found in their renders: {', '.join(faceless)}")
    return shards


def train(options: argparse.Namespace) -> None:
    """`id3d train`: stopped and called again, it goes on where it was."""
    if (options.dataset is None) == (options.scans is None):
        raise InputError("name a dataset to train on, or a folder of --scans, not both")
    from .identity.encoders import DIMENSIONS
    from .priors.training.parallel import join_processes
    from .priors.training.train import TrainingConfig
    from .priors.training.train import train as run

    plain = TrainingConfig() if options.base is None else TrainingConfig.on_base()
    config = TrainingConfig(
        vae=_with(plain.vae, steps=options.vae_steps, batch=options.vae_batch),
        words=_with(plain.words, steps=options.words_steps),
        denoiser=_with(
            plain.denoiser,
            steps=options.steps,
            batch=options.batch,
            accumulate=options.accumulate,
            learning_rate=options.learning_rate,
            optimizer=options.optimizer,
            checkpointing=options.checkpointing,
            save_every=options.save_every,
        ),
        sizes=_with(plain.sizes, rank=options.rank, identity_dimension=DIMENSIONS[options.encoder]),
        precision=options.precision,
        shard_base=options.shard_base,
        seed=options.seed,
    )
    listener = listener_for(options.progress)
    with _going_on_by_itself() as cancel:
        how = {"workers": options.workers, "listener": listener, "cancel": cancel}
        run(
            options.dataset or _rendered(options, how),
            options.out,
            config,
            base=options.base,
            begin=options.begin,
            photos=options.photos,
            listener=listener,
            cancel=cancel,
        )
    if join_processes().is_main_process:
        _say(f"{options.out} is a prior now: use it with --prior {options.out}")


def _rendered(options: argparse.Namespace, how: dict[str, Any]) -> str:
    """The dataset that the scans give for a base, beside the checkpoints; made by the first process."""
    from .priors.training.parallel import join_processes
    from .priors.training.train import image_size_of
    from .scans import FOR_SCANS

    _notice(options.encoder)
    base, out = options.base, options.out
    folder = out.with_name(out.name + ".work") / "dataset"
    config = replace(FOR_SCANS, encoder=options.encoder)
    if base is not None:
        config = replace(config, image_size=image_size_of(base))
    with join_processes().main_process_first():
        _scanned(options.scans, folder, config, how)
    return str(folder)


@contextmanager
def _going_on_by_itself() -> Iterator[threading.Event]:
    """`cancel_on_signal` for commands that have no --resume because they always go on."""
    with cancel_on_signal() as cancel:
        try:
            yield cancel
        except Cancelled as error:
            raise Cancelled("cancelled; run the same command again to go on from here") from error


def _with(settings: Settings, **given: object) -> Settings:
    """`settings` with whatever of `given` is not None."""
    return replace(settings, **{key: value for key, value in given.items() if value is not None})


def _ready(out: Path, began: float, listener: Listener, progress: str) -> None:
    elapsed, picture = time.monotonic() - began, out / "preview.png"
    listener(Progress("done", 1, 1, elapsed, 0.0, str(out), str(picture)))
    if progress != "json":
        print(f"{out} is ready after {duration(elapsed)}; look at {picture}")


def _require_files(photos: list[Path], identity: Path | None = None) -> None:
    for path in photos:
        if path.is_dir():
            raise InputError(f"{path} is a folder: name the photos in it, for example {path / '*.jpg'}")
    for path in [*photos, *([identity] if identity else [])]:
        if not path.is_file():
            raise InputError(f"there is no file {path}: check the path")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
