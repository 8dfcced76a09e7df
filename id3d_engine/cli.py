"""`id3d ...`: the command line. Parses and reports; `commands.py` holds what each command does.

Exit codes: 0 done, 1 failed, 2 bad usage or input, 130 cancelled. An error is one sentence on
standard error; `--debug` shows the traceback as well. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from . import __version__, commands, model_commands
from .console import CANCELLED, explain
from .device import DEVICES, PRECISIONS
from .errors import InputError
from .progress_bar import MODES

PRESETS = ("draft", "standard", "high")
FORMATS = ("glb", "obj", "blend", "fbx", "usd")
LIGHTS = ("front", "back", "direct", "diffuse")
TARGETS = ("geometry", "texture", "both")
OPTIMIZERS = ("adamw", "adamw8bit")
SMALLEST_RENDER = 16  # pixels a side; in less there is no face


class _Parser(argparse.ArgumentParser):
    """argparse, but a usage error is one sentence."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(InputError.exit_code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = build_parser().parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = options.run(options)
    except KeyboardInterrupt:
        print("id3d: cancelled", file=sys.stderr)
        return CANCELLED
    except BrokenPipeError:
        return 1
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        reason = explain(error, resumes="resume" in options)
        # The sentence comes last: programs that start this one show the last line.
        print("\n".join([*reason.details, f"id3d: {reason}"]), file=sys.stderr)
        return reason.exit_code
    finally:
        signal.signal(signal.SIGTERM, before)
    return int(code or 0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(
        prog="id3d",
        description="One person's identity in, one expressive, relightable 3D head out.",
    )
    parser.add_argument("--version", action="version", version=f"id3d {__version__}")
    commands_parser = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        command = commands_parser.add_parser(name, help=text, description=text)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=run)
        return command

    _generate(
        add("generate", commands.generate, "make a head from photos of one person, or from an identity file")
    )
    _edit(add("edit", commands.edit, "change a head by text: its geometry, its maps, or both"))
    _evaluate(add("evaluate", commands.evaluate, "measure a head, or the method on people it has never seen"))
    _identity(add("identity", commands.identity, "photos of one person to a small identity file"))
    _export(add("export", commands.export, "write a head as GLB, OBJ, .blend, FBX or USD"))
    _relight(add("relight", commands.relight, "picture a head under another light"))
    _dataset(add("dataset", commands.dataset, "render 3D heads into training data for the priors"))
    _train(add("train", commands.train, "train priors on such data"))
    model_commands.add_parsers(
        add(
            "models",
            model_commands.list_models,
            "the production models on this machine: get, check, assemble",
        )
    )
    doctor = add("doctor", commands.doctor, "what is installed, what is missing, and how to fix it")
    doctor.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return parser


def _generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="*", type=Path, metavar="PHOTO", help="photos of one person")
    parser.add_argument("--id", type=Path, metavar="FILE", help="an identity file instead of photos")
    parser.add_argument("--out", type=Path, required=True, metavar="NAME.head", help="the bundle to write")
    parser.add_argument("--text", default="", help="what the photo does not say, as 'with short curly hair'")
    parser.add_argument("--prior", default="starter", help="starter (default), a folder, or a model's name")
    parser.add_argument("--preset", choices=PRESETS, default="draft", help="time against quality")
    parser.add_argument("--expressions", default="all", metavar="all|NAME,...", help="which shape keys")
    parser.add_argument(
        "--topology",
        default="fine",
        choices=("fine", "template", "dmtet"),
        help="the mesh: 20,000 vertices, 5,000, or the raw sculpted surface for hair that neither can follow",
    )
    _device(parser)
    _seed(parser)
    parser.add_argument("--resume", action="store_true", help="go on where a stopped run of this command was")
    parser.add_argument("--overwrite", action="store_true", help="replace the bundle if there is one")
    parser.add_argument("--save-identity", action="store_true", help="keep the identity in the bundle")
    parser.add_argument("--blend", type=Path, metavar="FILE", help="also write a Blender file")
    _progress(parser)


def _edit(parser: argparse.ArgumentParser) -> None:
    _head(parser)
    parser.add_argument("--text", required=True, help="what it should look like, as 'as a cute baby'")
    parser.add_argument("--target", choices=TARGETS, default="both", help="what may change")
    parser.add_argument("--out", type=Path, metavar="NAME.head", help="default: NAME-edit.head beside it")
    parser.add_argument(
        "--photo",
        nargs="+",
        type=Path,
        metavar="PHOTO",
        help="photos of the person, if the bundle has no identity",
    )
    parser.add_argument("--id", type=Path, metavar="FILE", help="an identity file instead of photos")
    parser.add_argument("--prior", default="starter", help="starter (default), a folder, or a model's name")
    parser.add_argument("--preset", choices=PRESETS, default="draft", help="time against quality")
    _device(parser)
    _seed(parser)
    parser.add_argument("--resume", action="store_true", help="go on where a stopped run of this command was")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the bundle at --out if there is one"
    )
    _progress(parser)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("head", nargs="?", type=Path, metavar="HEAD", help="a head bundle, GLB or OBJ")
    parser.add_argument("--photo", nargs="+", type=Path, metavar="PHOTO", help="photos of the person")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    whole = parser.add_argument_group("instead of HEAD, the whole method on people it has never seen")
    whole.add_argument("--people", type=_positive, metavar="N", help="how many held-out people")
    whole.add_argument("--out", type=Path, metavar="FOLDER", help="takes their heads and the report")
    whole.add_argument("--methods", default="average,start,id3d", metavar="NAME,...", help="what is compared")
    whole.add_argument("--prior", default="starter", help="starter (default), a folder, or a model's name")
    whole.add_argument("--preset", choices=PRESETS, default="draft", help="time against quality")
    whole.add_argument("--dataset", type=Path, help="the training data, for the methods nearest and ridge")
    whole.add_argument("--judge", type=Path, metavar="FILE", help="faceres.json, a second recogniser")


def _identity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="photos of one person")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.id")
    _encoder(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    _head(parser)
    parser.add_argument("--to", choices=FORMATS, required=True)
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: NAME.FORMAT beside the bundle")
    parser.add_argument(
        "--expressions",
        default="",
        metavar="all|NAME,...",
        help="obj only: one more file for each of these; other formats always carry all",
    )
    parser.add_argument(
        "--morph-normals", action="store_true", help="glb only: for viewers that keep the neutral's shading"
    )


def _relight(parser: argparse.ArgumentParser) -> None:
    _head(parser)
    parser.add_argument("--light", choices=LIGHTS, required=True)
    parser.add_argument("--expression", default="neutral", metavar="NAME")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.png", help="default: NAME_LIGHT.png beside the bundle"
    )
    parser.add_argument("--size", type=_positive, default=512, help="pixels a side of each view")


def _dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--scans", type=Path, metavar="FOLDER", help="SUBJECT/neutral.obj, ...: your scans, not drawn heads"
    )
    parser.add_argument("--subjects", type=_positive, help="how many heads (1000); may grow later")
    parser.add_argument("--first-seed", type=int, help="seed of the first head (0)")
    parser.add_argument("--views", type=_positive, help="renders a head (4; 48 of a scan)")
    parser.add_argument(
        "--photos", type=_positive, help="photo-like renders a head, for its identity (3; 6 of a scan)"
    )
    parser.add_argument("--image-size", type=_pixels, help="pixels a side (256)")
    parser.add_argument(
        "--subjects-per-shard", type=_positive, help="heads a file (50; 4 scans); a stopped run repeats one"
    )
    _encoder(parser)
    _workers(parser)
    _progress(parser)


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset",
        nargs="?",
        metavar="FOLDER|URLS",
        help="what `id3d dataset` wrote, or a WebDataset pattern: https://host/heads-{00000..00099}.tar",
    )
    parser.add_argument("--scans", type=Path, metavar="FOLDER", help="instead, your scans, rendered first")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the prior folder to write")
    parser.add_argument(
        "--base", metavar="FOLDER|HUB-ID", help="adapt this pipeline, frozen; else a small one is trained too"
    )
    _encoder(parser)
    parser.add_argument("--begin", metavar="PRIOR", help="begin from this prior's weights instead of noise")
    parser.add_argument(
        "--photos",
        type=Path,
        metavar="FOLDER",
        help="photographs of many people, with people.csv, to train for photographs too",
    )
    parser.add_argument("--steps", type=_positive, help="optimiser steps of the denoiser")
    parser.add_argument("--vae-steps", type=_not_negative, help="optimiser steps of the autoencoder")
    parser.add_argument(
        "--words-steps", type=_not_negative, help="optimiser steps of the text encoder, before all"
    )
    parser.add_argument("--batch", type=_positive, help="images a pass of the denoiser, in each process")
    parser.add_argument("--accumulate", type=_positive, help="passes a step of the denoiser (1)")
    parser.add_argument("--learning-rate", type=float, help="peak, of the denoiser")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help="adamw8bit: moments in 8 bits")
    parser.add_argument(
        "--checkpointing",
        action=argparse.BooleanOptionalAction,
        help="less memory, a third more time; on where the base is large",
    )
    parser.add_argument(
        "--shard-base", action="store_true", help="split the frozen base among processes (FSDP)"
    )
    parser.add_argument("--vae-batch", type=_positive, help="crops a step of the autoencoder")
    parser.add_argument("--save-every", type=_positive, help="steps between two saves of the prior's folder")
    parser.add_argument("--rank", type=_positive, help="rank of the adapters")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="auto: bf16 where the device computes in it"
    )
    _workers(parser)
    _seed(parser)
    _progress(parser)


def _head(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("head", type=Path, metavar="NAME.head", help="a head bundle")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument(
        "--compile", action="store_true", help="try torch.compile, which takes minutes and pays in long jobs"
    )


def _encoder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoder",
        choices=("dlib", "arcface"),
        default="dlib",
        help="who reads faces: dlib is free for any use; arcface's weights are for non-commercial research",
    )


def _seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0)


def _workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=_positive, default=1, help="processes that render")


def _progress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--progress",
        choices=MODES,
        default="auto",
        help="auto: a bar on a terminal, lines elsewhere; json: one object a line",
    )


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def _pixels(text: str) -> int:
    value = int(text)
    if value < SMALLEST_RENDER:
        raise argparse.ArgumentTypeError(f"{value} is too few pixels: give at least {SMALLEST_RENDER}")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


if __name__ == "__main__":
    sys.exit(main())
