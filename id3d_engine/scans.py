"""A user's folder of scans as training data: fitted to the template, then rendered like any other heads.

shards, faceless = scanned_dataset(folder, out, replace(FOR_SCANS, image_size=512))
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .assets.appearance import AppearanceParameters, style_logits
from .assets.asset import HeadAsset
from .assets.photo import TEXTURE_SIZE
from .assets.skin import skin_tone
from .errors import InputError
from .expressions import EXPRESSIONS
from .geometry.folder_source import read_subject, subjects
from .priors.training.dataset import DatasetConfig, build_dataset
from .rig.units import pose, transfer_units
from .template import HeadTemplate

# Scans are few and dear: many views of each, and a shard of few, since fitting takes longer than rendering.
FOR_SCANS = DatasetConfig(views=48, photos=6, subjects_per_shard=4)


@dataclass(frozen=True)
class Scans:
    """The heads of a folder of scans, laid out as `geometry/folder_source.py` says (a `HeadSource`)."""

    folder: Path

    def __call__(self, template: HeadTemplate, index: int) -> HeadAsset:
        """The head of one subject, in the order of their names.

        An expression that was not scanned is the template's recipe in the head's own units.

        Raises:
            InputError: a scan cannot be read or fitted, or has no texture.
        """
        home = subjects(self.folder)[index]
        scan = read_subject(template, home, texture_size=TEXTURE_SIZE)
        if scan.albedo_srgb is None or scan.painted is None:
            raise InputError(
                f"{home}/neutral has no texture to learn albedo from: export it with its texture"
            )
        units: Mapping[str, NDArray[np.float32]] = {
            **transfer_units(template, scan.neutral),
            **scan.expressions,
        }
        expressions = {
            e.name: scan.expressions[e.name] if e.name in scan.expressions else pose(units, e.recipe)
            for e in EXPRESSIONS
        }
        return HeadAsset(
            seed=index,
            shape=None,
            skin=scan.neutral,
            neutral=scan.neutral,
            units=units,
            expressions=expressions,
            appearance=_around(scan.albedo_srgb[scan.painted]),
            caption=scan.caption,
            attributes=scan.attributes,
            scanned=np.dstack([scan.albedo_srgb, scan.painted]).astype(np.float32),
        )

    def digest(self) -> str:
        """Changes when a file is added, removed, or changes its size."""
        files = sorted(p for p in self.folder.rglob("*") if p.is_file())
        listed = [f"{p.relative_to(self.folder).as_posix()} {p.stat().st_size}" for p in files]
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def scanned_dataset(
    folder: Path, out: Path, config: DatasetConfig, **how: Any
) -> tuple[list[Path], list[str]]:
    """Render every subject of a folder of scans into shards under `out`.

    Args:
        folder: See `geometry/folder_source.py`.
        out: The dataset's folder, made if needed; a stopped build goes on.
        config: What to render; its subjects, first seed and source follow from the folder.
        how: `workers`, `listener` and `cancel` of `build_dataset`.

    Returns:
        The shards, and the names of subjects that are not in them: no photo-like render of theirs shows
        a face that the recogniser finds.

    Raises:
        InputError: the folder or a scan in it cannot be used, or none shows a face; else as `build_dataset`.
    """
    names = [path.name for path in subjects(folder)]
    scans = Scans(folder)
    config = replace(config, subjects=len(names), first_seed=0, source=scans.digest())
    shards = build_dataset(out, config, heads=scans, **how)
    seen: set[int] = set()
    for shard in shards:
        with tarfile.open(shard) as tar:
            seen |= {int(name.partition("-")[0]) for name in tar.getnames()}
    if not seen:
        raise InputError(
            f"no face was found in renders of any scan in {folder}: check that scans are upright and "
            "textured, or give landmarks in subject.json"
        )
    return shards, [name for index, name in enumerate(names) if index not in seen]


def _around(colours: NDArray[np.float32]) -> AppearanceParameters:
    """What is painted where the scan says nothing: skin of its tone, no hair (the scan has its own)."""
    plain = AppearanceParameters(style_logits=style_logits("bald"))
    tone = np.median(colours, axis=0)
    looks = [replace(plain, melanin=float(m)) for m in np.linspace(0, 1, 41)]
    return min(looks, key=lambda look: float(np.abs(skin_tone(look) - tone).sum()))
