"""Models from a hub, a mirror, an address and the disk, into the models folder and into use."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import save as save_pickle

from id3d_engine.errors import InputError
from id3d_engine.job import Progress
from id3d_engine.models.install import Wish, add_local, add_offer
from id3d_engine.models.library import find, problems, require
from id3d_engine.models.offers import Offer, offer
from id3d_engine.models.pickles import conversion_command
from id3d_engine.priors.base import load_base
from id3d_engine.priors.locate import locate
from id3d_engine.priors.prior import Prior

ADAPTERS = ("geometry.*", "albedo.*")


@pytest.fixture(scope="module")
def pipeline(tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of real classes, with what publishers leave beside it."""
    folder = tmp_path_factory.mktemp("published") / "tiny"
    shutil.copytree(tiny_prior, folder, ignore=shutil.ignore_patterns(*ADAPTERS))
    (folder / "README.md").write_text("about")
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "model.safetensors").write_bytes(b"not wanted")
    return folder


def agree(found: Offer, left: int, home: Path) -> None:
    """Consent."""


def from_hub(hub, models: Path, what: str = "user/tiny", wish: Wish | None = None, **options):
    return add_offer(offer(what, **options), models, wish or Wish(), agree)


def test_a_hub_model_is_shown_fetched_and_used_offline(
    hub, models: Path, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("user/tiny", pipeline, "openrail++")
    found = offer("user/tiny")
    assert hub.downloads() == []
    assert (found.licence, found.commercial, len(found.revision)) == ("openrail++", "unknown", 40)
    assert found.size == sum((pipeline / file.path).stat().st_size for file in found.files)
    assert all(len(file.sha256) == 64 for file in found.files if file.path.endswith(".safetensors"))

    asked, events = [], []

    def consent(*shown: object) -> None:
        assert hub.downloads() == []
        asked.append(shown)

    hub.cut = 200_000
    model = add_offer(found, models, Wish(), consent, events.append)
    assert asked == [(found, found.size, models / "tiny")]
    assert (model.name, model.kind, model.source, model.licence) == (
        "tiny",
        "base",
        "user/tiny",
        "openrail++",
    )
    assert problems(model, models) == []
    assert not {"README.md", "safety_checker/model.safetensors"} & set(hub.downloads())
    assert any(ranges for _, ranges in hub.requests)
    assert isinstance(events[-1], Progress) and events[-1].step == events[-1].steps
    assert [path.name for path in models.iterdir()] == ["tiny"]

    hub.requests.clear()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert locate("tiny") == locate("user/tiny") == models / "tiny"
    load_base(locate("user/tiny"))
    assert hub.requests == []


def test_a_refusal_downloads_nothing(hub, models: Path, pipeline: Path) -> None:
    hub.publish("user/tiny", pipeline)

    def refuse(*_: object) -> None:
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        add_offer(offer("user/tiny"), models, Wish(), refuse)
    assert hub.downloads() == []
    assert not models.exists()


def test_a_prior_from_a_hub_is_a_prior(hub, models: Path, tiny_prior: Path) -> None:
    hub.publish("user/prior", tiny_prior)
    assert from_hub(hub, models, "user/prior").kind == "prior"
    assert Prior.load("user/prior", "albedo").domain == "albedo"


def test_half_precision_files_are_used_where_there_are_some(
    hub, models: Path, pipeline: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    shutil.copytree(pipeline, half)
    for part in ("unet", "vae"):
        path = half / part / "diffusion_pytorch_model.safetensors"
        path.rename(path.with_suffix(".fp16.safetensors"))
    with pytest.raises(InputError, match=r"\.fp16\.safetensors.* run `id3d models add "):
        load_base(half)
    hub.publish("user/tiny", half)
    for model in (from_hub(hub, models), add_local(half, models, Wish("copied"))):
        load_base(models / model.name)


def test_what_was_tampered_with_is_not_installed(hub, models: Path, pipeline: Path) -> None:
    hub.publish("user/tiny", pipeline)
    found = offer("user/tiny")
    name = "user/tiny/vae/diffusion_pytorch_model.safetensors"
    hub.files[name] = bytes(len(hub.files[name]))
    with pytest.raises(InputError, match=r"is not the file that was asked for .*: nothing was installed"):
        add_offer(found, models, Wish(), agree)
    assert find("tiny", models) is None


def test_other_models_are_refused_before_anything_is_fetched(hub, models: Path, pipeline: Path) -> None:
    hub.publish("user/xl", pipeline)
    hub.files["user/xl/text_encoder_2/config.json"] = b"{}"
    with pytest.raises(
        InputError, match=r"user/xl on http.* is a Stable Diffusion XL model, which is not supp"
    ):
        offer("user/xl")
    with pytest.raises(
        InputError, match=r"nobody/nothing cannot be asked for at http.*: check the name and the"
    ):
        offer("nobody/nothing")
    with pytest.raises(InputError, match="there is nothing called 'sdxl'"):
        offer("sdxl")
    with pytest.raises(
        InputError, match=r"there is nothing called 'folder/typo\.safetensors': give a folder"
    ):
        offer("folder/typo.safetensors")
    hub.publish("user/paint", pipeline)
    config = json.loads(hub.files["user/paint/unet/config.json"])
    hub.files["user/paint/unet/config.json"] = json.dumps({**config, "in_channels": 9}).encode()
    with pytest.raises(InputError, match="paint takes 9 channels instead of 4"):
        from_hub(hub, models, "user/paint")
    assert find("paint", models) is None


def test_pickles_are_converted_by_the_command_that_is_named(
    hub, models: Path, pipeline: Path, tmp_path: Path
) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(pipeline, pickled)
    for part, name in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "pytorch_model"),
    ):
        (path,) = (pickled / part).glob("*.safetensors")
        save_pickle(load_file(path), pickled / part / f"{name}.bin")
        path.unlink()
    hub.publish("user/tiny", pickled)
    with pytest.raises(InputError, match="pickled weights, which id3d never opens") as caught:
        from_hub(hub, models)
    assert find("tiny", models) is None
    with pytest.raises(InputError, match=r"unet/diffusion_pytorch_model\.bin.*then add the result"):
        add_local(pickled, models, Wish())

    hub.requests.clear()
    _run_the_command_in(str(caught.value))
    assert from_hub(hub, models).kind == "base"
    assert not any(path.startswith("user/") and path.endswith(".bin") for path, _ in hub.requests)
    assert not list(models.rglob("*.bin"))
    want, have = (
        load_file(f / "unet" / "diffusion_pytorch_model.safetensors") for f in (pipeline, models / "tiny")
    )
    assert all(torch.equal(have[key], value) for key, value in want.items())


def test_faceid_from_the_catalogue_is_verified_converted_and_keeps_its_licence(
    hub, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tmp_path / "ip-adapter-faceid_sd15.bin"
    shared = torch.ones(2, 3)
    groups = {"image_proj": {"norm.weight": torch.ones(3)}, "ip_adapter": {"1.to_k_ip.weight": shared.T}}
    save_pickle(groups, published)
    hub.files["h94/IP-Adapter-FaceID/ip-adapter-faceid_sd15.bin"] = published.read_bytes()
    with pytest.raises(InputError, match="is not the file that was asked for"):
        from_hub(hub, models, "faceid")
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"ip-adapter-faceid_sd15\.bin: pickled weights") as caught:
        from_hub(hub, models, "faceid", sha256=digest)
    _run_the_command_in(str(caught.value))
    model = from_hub(hub, models, "faceid", sha256=digest)
    assert (model.kind, model.commercial, model.licence[:13]) == ("faceid", "no", "research only")
    assert model.source == "h94/IP-Adapter-FaceID/ip-adapter-faceid_sd15.bin"
    flat = load_file(models / "faceid" / model.files[0].path)
    assert set(flat) == {"image_proj.norm.weight", "ip_adapter.1.to_k_ip.weight"}

    with pytest.raises(InputError, match=r"never opens.*then add the result") as caught:
        add_local(published, models, Wish("own"))
    _run_the_command_in(str(caught.value))
    own = add_local(published.with_suffix(".safetensors"), models, Wish("own"))
    assert (own.kind, own.commercial) == ("faceid", "no")


def test_a_models_folder_on_any_web_server_is_a_mirror(
    hub, models: Path, pipeline: Path, tmp_path: Path
) -> None:
    original = add_local(pipeline, models, Wish("sd1.5", licence="ours", commercial="yes"))
    hub.publish("studio/models", models)
    url = f"{hub.url}/studio/models/sd1.5"
    copy = add_offer(offer(url), tmp_path / "elsewhere", Wish(), agree)
    assert copy == original
    assert problems(copy, tmp_path / "elsewhere") == []
    with pytest.raises(
        InputError, match=r"/studio/models/other/model\.json is not there, the server answers 404"
    ):
        offer(f"{hub.url}/studio/models/other")


def test_one_file_from_an_address(hub, models: Path) -> None:
    hub.files["files/face.safetensors"] = _faceid_bytes(models.parent / "face.safetensors")
    url = f"{hub.url}/files/face.safetensors"
    with pytest.raises(InputError, match="is not the file that was asked for"):
        from_hub(hub, models, url, sha256="0" * 64)
    model = from_hub(hub, models, url, sha256=hashlib.sha256(hub.files["files/face.safetensors"]).hexdigest())
    assert (model.name, model.kind, model.source, model.licence) == ("face", "faceid", url, "not stated")
    with pytest.raises(InputError, match=r"is a pickle, which is never opened: download it"):
        offer(f"{hub.url}/files/face.ckpt")


def test_local_models_are_copied_and_checked(models: Path, pipeline: Path, tmp_path: Path) -> None:
    assert add_local(pipeline, models, Wish()).source == "tiny"
    with pytest.raises(
        InputError, match=r"tiny is installed already in .*: look with `id3d models check tiny`"
    ):
        add_local(pipeline, models, Wish())
    (pipeline / "vae" / "config.json").rename(tmp_path / "kept")
    try:
        with pytest.raises(InputError, match=r"is incomplete, it has no vae/config\.json"):
            add_local(pipeline, models, Wish("other"))
    finally:
        (tmp_path / "kept").rename(pipeline / "vae" / "config.json")
    file = tmp_path / "x.safetensors"
    for content, sentence in (
        ({"conditioner.embedders.0": torch.ones(1)}, r"x\.safetensors is a Stable Diffusion XL checkpoint"),
        (
            {"model.diffusion_model.x": torch.ones(1)},
            r"x\.safetensors is a single-file checkpoint: add --like",
        ),
        ({"lora_up": torch.ones(1)}, r"neither a Stable Diffusion checkpoint nor .* its keys are lora_up"),
    ):
        save_file(content, file)
        with pytest.raises(InputError, match=sentence):
            add_local(file, models, Wish())
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match="is no whole safetensors file"):
        add_local(file, models, Wish())
    with pytest.raises(InputError, match=r"x\.ckpt is a pickle, which is never opened"):
        (tmp_path / "x.ckpt").touch()
        add_local(tmp_path / "x.ckpt", models, Wish())
    assert [path.name for path in models.iterdir()] == ["tiny"]
    assert require("tiny", models).kind == "base"


def test_the_page_for_users_gives_the_same_command() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "production.md"
    command = conversion_command(Path("FOLDER")).split('"')[1]
    assert f'python -c "{command}" FOLDER' in page.read_text(encoding="utf-8")


def _faceid_bytes(path: Path) -> bytes:
    save_file({"image_proj.norm.weight": torch.ones(3)}, path)
    content = path.read_bytes()
    path.unlink()
    return content


def _run_the_command_in(sentence: str) -> None:
    subprocess.run(shlex.split(sentence.split("`")[1]), check=True)
