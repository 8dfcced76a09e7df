"""What the expression's branch knows: expressions from half their strength, refined with and without it.

    python benchmarks/expression_branch.py [--people 8] [--prior starter]

Each held-out person's own head wears half of every expression; the prior refines them with `lambda_exp`
0 and 1. Printed are the strength afterwards (1 is the true one's) and the mean distance of the face's
vertices from the true expression, with 95 % intervals of the difference over people.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from id3d_engine.expressions import EXPRESSIONS
from id3d_engine.geometry.polish import PolishConfig, polish
from id3d_engine.haired import raised
from id3d_engine.identity.dlib_encoder import DlibEncoder
from id3d_engine.job import Job
from id3d_engine.priors.guidance import Ramp
from id3d_engine.priors.locate import locate
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.start import HeadStart
from id3d_engine.rig.units import pose, transfer_units
from id3d_engine.template import HeadTemplate, load_template
from id3d_engine.yardstick.figures import expression_error_mm
from id3d_engine.yardstick.report import mean_of
from id3d_engine.yardstick.subjects import Subject, held_out

STRENGTH = 0.5
ASKED = PolishConfig(rounds=3, noise_level=Ramp(0.5, 0.5), guidance=3.0, generic=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--prior", default="starter")
    options = parser.parse_args()
    template, home = load_template(), locate(options.prior)
    priors = [None, *(Prior.load(home, "geometry", "cpu", lambda_exp=share) for share in (0.0, 1.0))]
    people = held_out(options.people, template, DlibEncoder())
    found = np.array([[measured(person, template, prior) for prior in priors] for person in people])
    for index, what in enumerate(("not refined", "without the branch", "with the branch")):
        strength, error = found[:, index].mean(axis=0)
        print(f"{what}: strength {strength:.3f}, error {error:.3f} mm")
    for index, what in enumerate(("strength", "error, mm")):
        print(f"with less without, {what}: {mean_of(found[:, 2, index] - found[:, 1, index])}")


def measured(person: Subject, template: HeadTemplate, prior: Prior | None) -> NDArray[np.float64]:
    """(2,) strength and error in mm of one person's expressions, as they are or as a prior refines them."""
    asset, face = person.asset, template.regions["face"]
    head = raised(HeadStart(asset.skin, asset.appearance), template, hanging=False)
    units = transfer_units(template, head)
    own = {e.name: STRENGTH * pose(units, e.recipe) for e in EXPRESSIONS}
    if prior is not None:
        embedding = person.person.embedding
        own = polish(head, own, template, prior, embedding, EXPRESSIONS, None, ASKED, Job())
    found, true = np.stack(list(own.values())), np.stack([asset.expression(name) for name in own])
    weight = face[:, None]
    strengths = (weight * found * true).sum(axis=(1, 2)) / (weight * true**2).sum(axis=(1, 2))
    return np.array([strengths.mean(), expression_error_mm(found, true, face)])


if __name__ == "__main__":
    main()
