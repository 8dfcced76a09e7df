from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from id3d_engine.errors import InputError
from id3d_engine.models.install import Wish, add_local
from id3d_engine.priors.locate import locate
from id3d_engine.priors.prior import Prior

COMMIT = "4e63672c03103b6c636b8fb4119ba982469b2955"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ID3D_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("socket.socket.connect", _refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def _refuse(*_: object) -> None:
    raise AssertionError("the network was used")


def test_a_model_that_is_nowhere_names_the_command_that_gets_it(tmp_path: Path) -> None:
    for name in ("nobody/nothing-here", "sd1.5"):
        with pytest.raises(InputError) as caught:
            locate(name)
        assert str(caught.value) == (
            f"there is no folder {name!r} and no such model in {tmp_path / 'models'}:"
            f" run: id3d models add {name}"
        )


def test_an_installed_model_is_found_by_name_and_a_folder_comes_first(
    prior_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_local(prior_folder, tmp_path / "models", Wish("mine"))
    assert locate("mine") == tmp_path / "models" / "mine"
    assert locate(prior_folder) == prior_folder
    Prior.load("mine", "geometry")
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate("mine") == Path("mine")
    with pytest.raises(InputError, match="run: id3d models add other"):
        locate("other", tmp_path / "elsewhere")


def test_the_hub_tools_own_cache_is_looked_into(prior_folder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "cache" / "models--user--tiny"
    shutil.copytree(prior_folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    assert locate("user/tiny") == repository / "snapshots" / COMMIT
