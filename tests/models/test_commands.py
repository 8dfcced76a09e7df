"""`id3d models ...` as a user meets it."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from id3d_engine import cli, doctor
from id3d_engine.priors.prior import Prior


class Run:
    """One command; keeps its exit code, standard output and standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: object, answer: str | None = None) -> tuple[int, str, str]:
        terminal = io.StringIO(answer or "")
        terminal.isatty = lambda: answer is not None  # type: ignore[method-assign]
        self._monkeypatch.setattr("sys.stdin", terminal)
        try:
            code = cli.main(["models", *map(str, arguments)])
        except SystemExit as error:
            code = int(error.code or 0)
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(capsys, monkeypatch)


@pytest.fixture
def base_folder(tiny_prior: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-base"
    shutil.copytree(tiny_prior, folder, ignore=shutil.ignore_patterns("geometry.*", "albedo.*"))
    return folder


def test_size_licence_and_commercial_use_are_shown_before_anything_is_downloaded(
    run: Run, hub, models: Path, base_folder: Path
) -> None:
    hub.publish("user/tiny", base_folder, "openrail++")
    code, out, err = run("add", "user/tiny")
    assert (code, out, hub.downloads()) == (2, "", [])
    assert err.splitlines()[-1] == (
        "id3d: this needs your consent and there is no terminal to ask on: add --yes to agree"
    )
    assert "licence     openrail++" in err and "commercial  not known to be allowed" in err and " MB, " in err
    code, _, err = run("add", "user/tiny", answer="n\n")
    assert (code, "nothing was changed: answer y, or add --yes" in err) == (2, True)
    assert hub.downloads() == [] and not models.exists()
    code, out, _ = run("add", "user/tiny", answer="y\n")
    assert (code, out.startswith(f"tiny is installed in {models / 'tiny'}: base, ")) == (0, True)
    code, _, err = run("add", "user/tiny", "--yes")
    assert (code, "tiny is installed already" in err) == (2, True)


def test_a_catalogued_model_says_that_it_is_for_research(run: Run, hub, models: Path) -> None:
    hub.files["h94/IP-Adapter-FaceID/ip-adapter-faceid-portrait_sd15.bin"] = b"pickle"
    code, _, err = run("add", "faceid-portrait")
    assert code == 2
    assert "research only, as its card says" in err and "commercial  NOT allowed" in err


def test_list_check_and_remove(run: Run, models: Path, base_folder: Path) -> None:
    code, out, _ = run("list")
    assert (code, out.startswith(f"0 installed in {models}\n")) == (0, True)
    assert "normal-adapted-sd1.5  xanderhuang/normal-adapted-sd1.5" in out
    assert run("add", base_folder, "--name", "sd1.5", "--licence", "ours", "--commercial", "yes")[0] == 0
    code, out, _ = run("list")
    row = next(line for line in out.splitlines() if line.startswith("sd1.5"))
    assert row.split()[1] == "base" and "ours" in row and "unet/diffusion_pytorch_model.safetensors" in row
    listed = json.loads(run("list", "--json")[1])
    assert [m["name"] for m in listed["models"]] == ["sd1.5"]
    assert "sd1.5" not in [k["name"] for k in listed["known"]]

    assert run("check")[:2] == (0, "sd1.5: every sha256 agrees\n")
    (models / "sd1.5" / "vae" / "config.json").unlink()
    assert run("check", "sd1.5")[:2] == (1, "sd1.5: vae/config.json is missing\n")
    assert json.loads(run("check", "--json")[1])["problems"] == {"sd1.5": ["vae/config.json is missing"]}
    assert run("check", "nothing")[0] == 2

    code, _, err = run("remove", "sd1.5")
    assert (code, "no terminal to ask on: add --yes" in err, (models / "sd1.5").is_dir()) == (
        2,
        True,
        True,
    )
    assert run("remove", "sd1.5", answer="y\n")[0] == 0
    assert list(models.iterdir()) == []


def test_an_unfinished_download_is_listed_and_can_be_removed(
    run: Run, hub, models: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("user/tiny", base_folder)
    hub.cut = 200_000
    monkeypatch.setattr("id3d_engine.models.download._ATTEMPTS", 0)
    code, _, err = run("add", "user/tiny", "--yes")
    assert (code, "run the same command again to go on from there" in err) == (1, True)
    assert "unfinished: tiny; add again to go on, or remove" in run("list")[1]
    assert run("remove", "tiny", "--yes")[0] == 0
    assert list(models.iterdir()) == []


def test_folder_comes_before_the_variable(run: Run, models: Path, base_folder: Path, tmp_path: Path) -> None:
    assert run("add", base_folder, "--folder", tmp_path / "own")[0] == 0
    assert (tmp_path / "own" / "tiny-base" / "model.json").is_file()
    assert not models.exists()


def test_a_checkpoint_needs_a_base_to_be_like(run: Run, models: Path, tmp_path: Path) -> None:
    save_file({"model.diffusion_model.out.0.weight": torch.ones(1)}, tmp_path / "big.safetensors")
    code, _, err = run("add", tmp_path / "big.safetensors")
    assert (code, "big.safetensors is a single-file checkpoint: add --like NAME" in err) == (2, True)
    code, _, err = run("add", tmp_path / "big.safetensors", "--like", "sd1.5")
    assert (code, "run: id3d models add sd1.5" in err) == (2, True)
    code, _, err = run("add", tmp_path / "big.safetensors", "--like", "starter")
    assert (code, "big.safetensors is partial, or of another class than prior: unet: missing" in err) == (
        2,
        True,
    )
    assert list(models.iterdir()) == []


def test_every_key_that_differs_is_named_above_the_sentence(
    run: Run, models: Path, base_folder: Path, tmp_path: Path
) -> None:
    assert run("add", base_folder)[0] == 0
    weights = models / "tiny-base" / "unet" / "diffusion_pytorch_model.safetensors"
    found = load_file(weights)
    missing, other = ([k for k in found if k.endswith(end)] for end in (".conv1.weight", ".conv2.weight"))
    assert min(len(missing), len(other)) > 2
    found = {k: v[:1].clone() if k in other else v for k, v in found.items() if k not in missing}
    save_file(found, weights, metadata={"format": "pt"})
    code, out, err = run(
        "assemble", "--geometry", "tiny-base", "--albedo", "tiny-base", "--out", tmp_path / "a.prior"
    )
    *lines, sentence = err.splitlines()
    assert (code, out) == (2, "")
    assert lines[: len(missing)] == [f"missing {key}" for key in sorted(missing)]
    assert [line.split(" is (1, ")[0] for line in lines[len(missing) :]] == sorted(other)
    assert sentence.startswith("id3d: the weights in ")
    assert sentence.endswith(f"; and {len(lines) - 3} more; copy the folder again")


def test_a_checkpoint_tells_all_that_it_lacks_and_has_too_much(
    run: Run, models: Path, base_folder: Path, tmp_path: Path
) -> None:
    assert run("add", base_folder)[0] == 0
    path, prefix = tmp_path / "big.safetensors", "model.diffusion_model."
    save_file({f"{prefix}out.0.weight": torch.ones(1), f"{prefix}out.0.bias": torch.ones(1)}, path)
    code, _, err = run("add", path, "--like", "tiny-base")
    *lines, sentence = err.splitlines()
    assert (code, sentence.startswith("id3d: big.safetensors is partial, or of another class")) == (2, True)
    assert f"and {len(lines) - 3} more" in sentence
    assert "text_encoder: missing final_layer_norm.weight" in lines
    assert any(line.startswith("unet: conv_norm_out.weight is (1,), tiny-base needs (") for line in lines)


def test_assembled_prior_is_used_by_its_folder(
    run: Run, models: Path, base_folder: Path, tmp_path: Path
) -> None:
    run("add", base_folder)
    prior = tmp_path / "my.prior"
    arguments = ("assemble", "--geometry", "tiny-base", "--albedo", "tiny-base", "--out", prior)
    code, out, _ = run(*arguments)
    assert (code, out.strip().endswith(f"use it with --prior {prior}")) == (0, True)
    assert Prior.load(prior, "geometry").config.base == "tiny-base"
    assert run(*arguments)[0] == 2


def test_the_doctor_counts_models(run: Run, models: Path, base_folder: Path) -> None:
    assert doctor._models().text == f"0 in {models}, 0.0 GB"
    run("add", base_folder)
    assert doctor._models().text.endswith("GB: tiny-base")
    (models / "tiny-base" / "model.json").write_text("{")
    check = doctor._models()
    assert (check.ok, check.required, "model.json is damaged" in check.text) == (False, False, True)
