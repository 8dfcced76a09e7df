"""`id3d models ...`: the parsers, and what each does. Heavy imports stay inside the functions."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from .errors import InputError
from .models.catalogue import CATALOGUE
from .models.install import Consent, Convert, Wish, add_local, add_offer
from .models.library import (
    COMMERCIAL,
    Model,
    installed,
    models_folder,
    partial_home,
    problems,
    remove,
    require,
    unfinished,
)
from .models.offers import Offer, offer
from .progress_bar import MODES, listener_for

_EPILOG = "The folder is --folder, or the variable ID3D_MODELS, or the user's data folder."


def add_parsers(parser: argparse.ArgumentParser) -> None:
    """The subcommands of `id3d models`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=text, epilog=_EPILOG)
        action.add_argument("--folder", type=Path, help="the models folder")
        action.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )
        action.set_defaults(run=run)
        return action

    action = add("list", list_models, "what is installed, and what is known to work")
    action.add_argument("--json", action="store_true", help="one JSON object instead of text")

    action = add("add", add_model, "get a model, after showing its size and licence, or copy one")
    action.add_argument(
        "what",
        metavar="MODEL",
        help="a name that `list` shows, a hub id, an address, a diffusers folder, or a .safetensors file",
    )
    action.add_argument("--name", default="", help="what to call it here")
    action.add_argument(
        "--like", metavar="BASE", help="for a single-file checkpoint: a base of the same class"
    )
    action.add_argument("--revision", help="commit, branch or tag on the hub")
    action.add_argument("--sha256", default="", help="what the file must have")
    action.add_argument("--licence", default="", help="its licence, where the source does not state it")
    action.add_argument(
        "--commercial", choices=COMMERCIAL, default="", help="whether that allows commercial use"
    )
    _yes(action)
    action.add_argument("--progress", choices=MODES, default="auto")

    action = add("check", check_models, "compare every file with its sha256")
    action.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    action.add_argument("--json", action="store_true", help="one JSON object instead of text")

    action = add("remove", remove_model, "delete a model")
    action.add_argument("name", metavar="NAME")
    _yes(action)

    action = add("assemble", assemble_prior, "make a prior for --prior out of installed models")
    action.add_argument(
        "--geometry", required=True, metavar="BASE", help="draws normals: name, hub id or folder"
    )
    action.add_argument("--albedo", required=True, metavar="BASE", help="draws albedo, likewise")
    action.add_argument("--faceid", metavar="NAME|FILE", help="IP-Adapter-FaceID, for research only")
    action.add_argument("--lambda-id", type=float, default=1.0, help="strength of the identity, 1 by default")
    action.add_argument("--out", type=Path, required=True, metavar="PRIOR", help="the prior folder to write")


def list_models(options: argparse.Namespace) -> None:
    """`id3d models list`."""
    folder = models_folder(options.folder)
    models = installed(folder)
    more = [known for known in CATALOGUE if known.name not in {model.name for model in models}]
    if options.json:
        found = {
            "folder": str(folder),
            "models": [asdict(m) for m in models],
            "known": [asdict(k) for k in more],
        }
        print(json.dumps(found, indent=2))
        return
    rows = [("NAME", "KIND", "SIZE", "COMMERCIAL", "LICENCE", "SHA256")]
    rows += [(m.name, m.kind, _gb(m.size), m.commercial, m.licence, _main_digest(m)) for m in models]
    print(f"{len(models)} installed in {folder}")
    print("\n".join(_table(rows)) if models else "none; `id3d models add NAME` gets one")
    if unfinished(folder):
        print(f"\nunfinished: {', '.join(unfinished(folder))}; add again to go on, or remove")
    if more:
        print("\nknown, not installed")
        print("\n".join(_table([(k.name, k.hub_id, k.commercial, k.licence) for k in more])))


def add_model(options: argparse.Namespace) -> None:
    """`id3d models add`."""
    folder = models_folder(options.folder)
    wish = Wish(options.name, options.licence, options.commercial, _converter(options.like, folder))
    path = Path(options.what).expanduser()
    if path.exists():
        model = add_local(path, folder, wish)
    else:
        found = offer(options.what, revision=options.revision, sha256=options.sha256)
        model = add_offer(found, folder, wish, _consent(options.yes), listener_for(options.progress))
    print(
        f"{model.name} is installed in {folder / model.name}: {model.kind}, {_gb(model.size)},"
        f" licence {model.licence}"
    )


def check_models(options: argparse.Namespace) -> int:
    """`id3d models check`: exit code 1 if a file is damaged or missing."""
    folder = models_folder(options.folder)
    models = [require(name, folder) for name in options.names] or installed(folder)
    found = {model.name: problems(model, folder) for model in models}
    if options.json:
        print(json.dumps({"folder": str(folder), "problems": found}, indent=2))
    else:
        for name, wrong in found.items():
            print("\n".join(f"{name}: {line}" for line in wrong) if wrong else f"{name}: every sha256 agrees")
    return 1 if any(found.values()) else 0


def remove_model(options: argparse.Namespace) -> None:
    """`id3d models remove`."""
    folder = models_folder(options.folder)
    if options.name in unfinished(folder):
        home = partial_home(options.name, folder)
    else:
        home = folder / require(options.name, folder).name
    _ask(f"Delete {home}?", options.yes)
    remove(home)
    print(f"{home} is gone")


def assemble_prior(options: argparse.Namespace) -> None:
    """`id3d models assemble`."""
    from .priors.assemble import assemble

    assemble(
        options.geometry,
        options.albedo,
        options.out,
        faceid=options.faceid,
        lambda_id=options.lambda_id,
        models=options.folder,
    )
    whose = "dlib identities" if options.faceid is None else "arcface identities, for research only,"
    print(f"{options.out} is a prior for {whose} now: use it with --prior {options.out}")


def _converter(like: str | None, folder: Path) -> Convert | None:
    if like is None:
        return None

    def convert(checkpoint: Path, out: Path) -> None:
        from .priors.checkpoint import convert_checkpoint
        from .priors.locate import locate

        convert_checkpoint(checkpoint, locate(like, folder), out)

    return convert


def _consent(yes: bool) -> Consent:
    def consent(found: Offer, left: int, home: Path) -> None:
        commit = f", revision {found.revision[:10]}" if found.revision else ""
        size = _gb(found.size) + (f", {_gb(left)} of them still to come" if left < found.size else "")
        unknown = " (the server does not say how large)" if any(f.size is None for f in found.files) else ""
        commercial = {"yes": "allowed", "no": "NOT allowed", "unknown": "not known to be allowed"}
        lines = [
            f"{found.source}{commit}",
            f"  into        {home}",
            f"  size        {size}{unknown}, {len(found.files)} file(s)",
            f"  licence     {found.licence or 'not stated: read its page'}",
            f"  commercial  {commercial[found.commercial]}",
            *([f"  note        {found.note}"] if found.note else []),
        ]
        print("\n".join(lines), file=sys.stderr)
        _ask("Download?", yes)

    return consent


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("this needs your consent and there is no terminal to ask on: add --yes to agree")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError("nothing was changed: answer y, or add --yes, to go on")


def _yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="agree without being asked")


def _main_digest(model: Model) -> str:
    largest = max(model.files, key=lambda file: file.size)
    return f"{largest.sha256[:12]} {largest.path}"


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
