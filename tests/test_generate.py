"""From an identity to a bundle through every stage, with a prior and settings as small as can be."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from id3d_engine import generate
from id3d_engine.config import Preset
from id3d_engine.errors import Cancelled, InputError, MissingDependency
from id3d_engine.expressions import ARKIT_NAMES
from id3d_engine.haired import raised
from id3d_engine.head import Head, validate
from id3d_engine.identity import Identity, identify
from id3d_engine.identity.encoders import load_encoder
from id3d_engine.job import Job
from id3d_engine.priors.locate import locate
from id3d_engine.priors.start import start_of
from id3d_engine.stages import find_identity, find_start, wished
from id3d_engine.template import load_template

PORTRAIT = Path(__file__).parent.parent / "examples" / "portrait.jpg"
CAST = ("smile", "eyes_closed")


def someone(encoder: str = "dlib") -> Identity:
    return Identity(0.13 * np.random.default_rng(0).normal(size=128).astype(np.float32), encoder)


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_small_previews() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("id3d_engine.preview.COLUMNS", {"front": 0.0})
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tiny_prior: Path, tiny_preset: Preset, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One head, where it is, what was heard, and how to make it again."""
    folder, heard = tmp_path_factory.mktemp("made"), []
    options = {
        "identity": someone(),
        "prior": tiny_prior,
        "preset": tiny_preset,
        "expressions": ",".join(CAST),
        "text": "an old man",
        "device": "cpu",
        "seed": 3,
    }
    head = generate(out=folder / "a.head", listener=heard.append, save_identity=True, **options)
    return SimpleNamespace(head=head, folder=folder / "a.head", heard=heard, options=options)


def test_the_bundle_is_good(made: SimpleNamespace) -> None:
    assert validate(made.folder) == []
    head = Head.read(made.folder)
    assert head.names == (*CAST, *ARKIT_NAMES)
    assert head.expressions == CAST
    assert np.isfinite(head.shape_keys).all() and np.isfinite(head.vertices).all()
    assert set(head.textures) == {"albedo", "roughness", "specular", "normal"}
    assert {image.shape[0] for image in head.textures.values()} == {128}
    # A head of a human size that stands where heads stand.
    size = np.ptp(head.vertices, axis=0)
    assert (size > 0.15).all() and (size < 0.45).all()
    assert np.linalg.norm(head.shape_keys, axis=2).max(axis=1).min() > 1e-4
    assert sorted(path.name for path in made.folder.parent.iterdir()) == ["a.head"]


@pytest.mark.slow
def test_the_sculpted_surface_can_be_the_mesh(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xatlas")
    generate(out=tmp_path / "raw.head", topology="dmtet", **made.options)
    assert validate(tmp_path / "raw.head") == []
    raw = Head.read(tmp_path / "raw.head")
    assert raw.names == made.head.names
    assert len(raw.vertices) != len(made.head.vertices)
    assert (raw.faces[:, 2] == raw.faces[:, 3]).all()
    assert raw.info["provenance"]["topology"] == "dmtet"
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(MissingDependency, match="needs xatlas"):
        generate(out=tmp_path / "none.head", topology="dmtet", **made.options)
    assert not (tmp_path / "none.head.partial").exists()


def test_one_sided_units_leave_the_other_side_alone(made: SimpleNamespace) -> None:
    right = made.head.vertices[:, 0] < -0.012
    blink = made.head.shape_keys[made.head.names.index("eyeBlinkLeft")]
    assert np.abs(blink[right]).max() == 0
    assert np.linalg.norm(blink, axis=1).max() > 0.002


def test_it_says_where_it_comes_from_and_nothing_of_the_photo(
    made: SimpleNamespace, tiny_prior: Path
) -> None:
    manifest = json.loads((made.folder / "head.json").read_text())
    provenance = manifest["provenance"]
    assert provenance["identity_sha256"] == someone().sha256()
    assert (provenance["encoder"], provenance["text"], provenance["seed"]) == ("dlib", "an old man", 3)
    assert provenance["preset"].startswith("custom-")
    assert provenance["prior"] == tiny_prior.name and str(tiny_prior.parent) not in json.dumps(manifest)
    assert provenance["encoder_sha256"] == load_encoder("dlib").fingerprint()
    assert provenance["expressions"] == list(CAST)
    assert "unet/diffusion_pytorch_model.safetensors" in provenance["prior_files"]
    unet = provenance["prior_files"]["unet/diffusion_pytorch_model.safetensors"]
    assert provenance["prior_bases"] == {"geometry": unet, "albedo": unet}
    assert set(manifest["timings_s"]) == {"sculpt", "wrap", "polish", "paint"}
    assert manifest["notes"] == []
    assert Identity.load(made.folder / "identity.safetensors").sha256() == someone().sha256()


def test_what_is_said_of_photos_stays_out_of_the_bundle() -> None:
    heard: list[str] = []
    job = Job(listener=lambda progress: heard.append(progress.message))
    job.note("no face was found in anna_smith.jpg", keep=False)
    job.note("the text asks for more than there is")
    assert len(heard) == 2 and job.notes == heard[1:]


def test_stages_are_announced_in_order(made: SimpleNamespace) -> None:
    stages = list(dict.fromkeys(progress.stage for progress in made.heard))
    assert stages == ["sculpt", "wrap", "polish", "paint"]


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def assert_same(one: Path, other: Path) -> None:
    """Every byte but the timings."""
    first, second = files(one), files(other)
    manifests = [json.loads(each.pop("head.json")) for each in (first, second)]
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    for manifest in manifests:
        del manifest["timings_s"]
    assert manifests[0] == manifests[1]


def test_cancelled_and_resumed_it_ends_with_the_same_bytes(made: SimpleNamespace, tmp_path: Path) -> None:
    out, cancel = tmp_path / "a.head", threading.Event()

    def stop_in(stage: str):
        return lambda progress: cancel.set() if progress.stage == stage else None

    with pytest.raises(Cancelled, match="with --resume to go on from here"):
        generate(out=out, listener=stop_in("polish"), cancel=cancel, **made.options)
    work = tmp_path / "a.head.partial"
    assert not out.exists()
    assert {"sculpt.safetensors", "wrap.safetensors", "request.json"} <= {p.name for p in work.iterdir()}
    with pytest.raises(InputError, match="holds a run with other settings: repeat that command"):
        generate(out=out, resume=True, **made.options | {"text": "a child"})
    assert (work / "wrap.safetensors").is_file()
    leftover = tmp_path / ".a.head.x1.tmp"  # as of a run that was killed while it wrote the bundle
    leftover.mkdir()
    heard = []
    generate(out=out, resume=True, save_identity=True, listener=heard.append, **made.options)
    assert heard[0].stage == "sculpt" and heard[0].step == 2
    assert_same(out, made.folder)
    assert list(tmp_path.iterdir()) == [out]


def test_unusable_requests_are_refused_and_leave_nothing(
    made: SimpleNamespace, tiny_prior: Path, tmp_path: Path
) -> None:
    out, options = tmp_path / "b.head", made.options
    refused = [
        ({"photos": [PORTRAIT]}, "give photos of one person, or an identity, and not both"),
        ({"identity": None}, "give photos of one person, or an identity, and not both"),
        ({"identity": someone("arcface")}, "comes from the arcface encoder and the prior wants dlib"),
        ({"identity": tmp_path / "no.id"}, "no identity file"),
        ({"expressions": "wink"}, "unknown expression 'wink'"),
        ({"preset": "best"}, "unknown preset 'best': choose one of draft, standard, high"),
        ({"topology": "quads"}, "unknown topology 'quads': choose one of fine, template, dmtet"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"prior": tmp_path}, "has no geometry.json"),
    ]
    for change, sentence in refused:
        with pytest.raises(InputError, match=sentence):
            generate(out=out, **options | change)
    with pytest.raises(InputError, match="already exists: choose another name, or add --overwrite"):
        generate(out=made.folder, **options)
    with pytest.raises(InputError, match=r"end it in \.head"):
        generate(out=tmp_path / "b", **options)
    assert list(tmp_path.iterdir()) == []


def test_photos_become_the_identity_that_the_prior_wants(tiny_prior: Path) -> None:
    person = find_identity([PORTRAIT], None, tiny_prior, lambda sentence: None)
    assert (person.encoder, person.embedding.shape) == ("dlib", (128,))


def test_a_start_regressor_reads_photos_by_its_own_encoder() -> None:
    template, notes = load_template(), list[str]()
    own = identify([PORTRAIT])
    wanted = start_of(locate("starter"), own, template)
    from_photos = find_start([PORTRAIT], someone("arcface"), "starter", template, notes.append)
    assert np.array_equal(from_photos.skin, wanted.skin) and not notes
    without = find_start(None, someone("arcface"), "starter", template, notes.append)
    assert np.array_equal(without.skin, template.vertices)
    assert "starts from the average head" in notes[0] and "give photos" in notes[0]


def test_the_start_follows_the_text_and_says_what_it_cannot() -> None:
    template, notes, person = load_template(), list[str](), identify([PORTRAIT])
    plain = find_start(None, person, "starter", template, notes.append)
    assert wished(plain, "", template, notes.append).skin is plain.skin and not notes
    asked = wished(plain, "bald, with a full beard and horns", template, notes.append)
    assert (asked.appearance.style, asked.appearance.beard) == ("bald", 0.9) != plain.appearance.style
    assert np.array_equal(asked.skin, plain.skin)
    bearded, beardless = (raised(start, template, hanging=True) for start in (asked, plain))
    assert not np.array_equal(bearded, beardless)
    assert asked.appearance.melanin == plain.appearance.melanin
    assert notes == [
        "the start head knows nothing of 'horns': that part of the text is the prior's alone to follow"
    ]


def test_functions_stay_functions_whatever_is_imported_first() -> None:
    code = (
        "import id3d_engine.generate, id3d_engine.edit, id3d_engine.evaluate\n"
        "from id3d_engine import Head, edit, evaluate, generate\n"
        "print(generate.__name__, edit.__name__, evaluate.__name__, Head.__name__)\n"
        "from id3d_engine.evaluate import text; import id3d_engine; assert callable(id3d_engine.evaluate)"
    )
    answer = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert answer.split() == ["generate", "edit", "evaluate", "Head"]


# The real command in a process of its own, with a small draft and a checkpoint after every step.
COMMAND = """
import sys, torch
torch.set_num_threads(1)
from id3d_engine import config, job
from id3d_engine.appearance.settings import PaintConfig
from id3d_engine.cli import main
from id3d_engine.geometry.polish import PolishConfig
from id3d_engine.geometry.psi_g import PsiGConfig
from id3d_engine.geometry.sculpt import SculptConfig
config.PRESETS["draft"] = config.Preset(
    SculptConfig(cell_m=0.016, rounds=30, inner_steps=2, views=1, closeups=1, fit_size=64,
                 denoising_steps=1, net=PsiGConfig(tokens=32, width=32)),
    PolishConfig(rounds=4, inner_steps=1, views=2, fit_size=64, denoising_steps=1),
    PaintConfig(size=128, grid=32, bake_grid=32, rounds=20, views=2, inner_steps=1, denoise_steps=1),
)
job.CHECKPOINT_EVERY_S = 0.0
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tiny_prior: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", COMMAND, "generate", str(PORTRAIT)]
    command += [
        "--prior",
        str(tiny_prior),
        "--expressions",
        "smile",
        "--progress",
        "none",
        "--resume",
        "--out",
    ]

    def start(out: Path) -> subprocess.Popen:
        return subprocess.Popen([*command, str(out)], env=os.environ | {"OMP_NUM_THREADS": "1"})

    # The GLB's root is named after the bundle.
    whole, killed = tmp_path / "whole" / "a.head", tmp_path / "killed" / "a.head"
    began = time.monotonic()
    assert start(whole).wait() == 0
    duration = time.monotonic() - began
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    for _ in range(3):
        process = start(killed)
        time.sleep(duration * moments.uniform(0.2, 0.8))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if killed.exists():
            break  # it was quicker this time
    if not killed.exists():
        assert start(killed).wait() == 0
    assert validate(killed) == [], seed
    assert_same(killed, whole)
