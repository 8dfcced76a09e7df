"""How good is a head: its shape keys, its UVs, and whether a face recogniser takes it for the person.

Nothing here needs the head's prior or its making; a bundle is enough, or another maker's file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError
from .expressions import side
from .foreign import SUFFIXES, read_foreign
from .head import Head, validate
from .template import SKIN, load_template, per_triangle

if TYPE_CHECKING:
    from .geometry.mesh_quality import KeyQuality
    from .geometry.uv_quality import UvQuality

AZIMUTHS_DEG = (-25.0, 0.0, 25.0)
RENDER_PX = 256
MIDLINE_M = 0.01  # what lies farther beyond x = 0 belongs to the other side


@dataclass(frozen=True)
class Likeness:
    """The head's renders and the person's photos before dlib's face recogniser.

    Attributes:
        distance: Between the mean embeddings, or None where no render showed it a face.
        views: azimuth in degrees -> the distance of that view alone, or None.
        same_person: Below this dlib takes two pictures of faces for one person.
    """

    distance: float | None
    views: dict[float, float | None]
    same_person: float


@dataclass(frozen=True)
class Evaluation:
    """What was measured; see the classes of the parts.

    Attributes:
        problems: What is wrong with the bundle, one sentence each.
        keys: Shape key -> quality.
        stillness_m: One-sided ARKit unit -> its longest offset on the other side, metres.
        uv: The UV layout.
        likeness: None without photos.
        text: What its text asked for -> how far it is there (see `yardstick.text_agreement`).
        notes: Which photos were used or left out.
    """

    problems: list[str]
    keys: dict[str, KeyQuality]
    stillness_m: dict[str, float]
    uv: UvQuality
    likeness: Likeness | None
    text: dict[str, float]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """For `json.dumps`."""
        return asdict(self)


def evaluate(head: Path | str, photos: Sequence[Path | str] = ()) -> Evaluation:
    """Measure a head.

    Args:
        head: `NAME.head`; or a GLB or OBJ file of any other maker (see `foreign`).
        photos: Pictures of the person it should be.

    Raises:
        InputError: no head is there, or no photo can be used.
    """
    from .geometry.mesh_quality import keys_quality
    from .geometry.uv_quality import uv_quality

    if Path(head).suffix.lower() in SUFFIXES:
        asset = read_foreign(Path(head))
        problems = asset.problems()
    else:
        problems = validate(Path(head))
        asset = Head.read(Path(head), verify=False)
    keys = dict(zip(asset.names, asset.shape_keys, strict=True))
    whole = asset.triangles[:, 1] != asset.triangles[:, 2]
    skin = per_triangle(asset.part == SKIN)
    notes: list[str] = []
    return Evaluation(
        problems=problems,
        keys=keys_quality(asset.vertices, keys, asset.triangles[whole], skin[whole]),
        stillness_m=stillness(asset),
        uv=uv_quality(asset.triangle_uv[whole]),
        likeness=likeness(asset, photos, notes.append) if photos else None,
        text=_text(asset),
        notes=notes,
    )


def stillness(head: Head) -> dict[str, float]:
    """One-sided unit -> the longest offset it has beyond `MIDLINE_M` on the other side, metres."""
    found = {}
    for name, offsets in zip(head.names, head.shape_keys, strict=True):
        if not side(name):
            continue
        across = head.vertices[:, 0] * -side(name) > MIDLINE_M
        lengths = np.linalg.norm(offsets[across], axis=1)
        found[name] = float(lengths.max()) if len(lengths) else 0.0
    return found


def _text(head: Head) -> dict[str, float]:
    """What of its text the head shows; empty if it was made by something else or has a mesh of its own."""
    from .topology import DMTET, on_template, topology_of
    from .yardstick.text_agreement import text_agreement

    if not head.info.get("provenance", {}).get("text"):
        return {}
    template = load_template()
    return (
        {} if topology_of(head, template) == DMTET else text_agreement(on_template(head, template), template)
    )


def likeness(
    head: Head, photos: Sequence[Path | str], note: Callable[[str], None] = lambda sentence: None
) -> Likeness:
    """Distance of the neutral head's renders to photos, by dlib whatever encoder made the head.

    Raises:
        InputError: no photo can be used.
    """
    from .identity import identify
    from .identity.dlib_encoder import DlibEncoder
    from .portrait import Sitter
    from .render.lights import preset

    encoder = DlibEncoder()
    person = identify([Path(photo) for photo in photos], encoder, notes=note).embedding
    views: dict[float, float | None] = {}
    seen = []
    pictures = Sitter(head, smoothing=2).shaded("neutral", AZIMUTHS_DEG, preset("front"), RENDER_PX)
    for azimuth, picture in zip(AZIMUTHS_DEG, pictures, strict=True):
        try:
            embedding = encoder.embed(picture)
        except InputError:
            views[azimuth] = None
            continue
        seen.append(embedding)
        views[azimuth] = float(np.linalg.norm(embedding - person))
    distance = float(np.linalg.norm(np.mean(seen, axis=0) - person)) if seen else None
    return Likeness(distance, views, encoder.same_person)


def text(found: Evaluation) -> str:
    """The same for people: a table of shape keys, then a line for each of the rest."""
    lines = [f"problem: {sentence}" for sentence in found.problems]
    lines.append(
        f"{'shape key':24s} {'longest mm':>10s} {'stretch':>8s} {'inverted %':>10s} {'crossing %':>10s}"
        f" {'other side mm':>13s}"
    )
    for name, key in found.keys.items():
        across = f"{1e3 * found.stillness_m[name]:14.3f}" if name in found.stillness_m else ""
        lines.append(
            f"{name:24s} {1e3 * key.largest_m:10.2f} {key.stretch:8.2f} {100 * key.inverted:10.3f}"
            f" {100 * key.intersecting:10.3f}{across}"
        )
    uv = found.uv
    lines.append(
        f"UVs: {100 * uv.covered:.1f} % of the square covered, {100 * uv.overlapping:.3f} % of that twice; "
        f"{uv.outside} corner(s) outside; {100 * uv.flipped:.2f} % of the triangles mirrored; "
        f"{uv.empty} without area"
    )
    if found.likeness is not None:
        lines.append(_likeness_line(found.likeness))
    if found.text:
        shown = ", ".join(f"{name.replace('_', ' ')} {share:.2f}" for name, share in found.text.items())
        lines.append(f"text, 1 is wholly as asked: {shown}")
    return "\n".join([*lines, *found.notes])


def _likeness_line(found: Likeness) -> str:
    if found.distance is None:
        return "likeness: the recogniser found no face in the renders"
    views = ", ".join(
        f"{azimuth:+.0f} deg {'no face' if distance is None else f'{distance:.2f}'}"
        for azimuth, distance in found.views.items()
    )
    return (
        f"likeness: {found.distance:.2f} from the photos ({views}); "
        f"photos of one person stay below {found.same_person:.2f}"
    )
