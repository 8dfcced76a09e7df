"""Two real processes over gloo, as `torchrun` starts them, against one process with twice the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from id3d_engine.errors import InputError
from id3d_engine.priors.adapters import AdapterSizes
from id3d_engine.priors.training.train import TrainingConfig, train

# The command line with a checkpoint at every step, and a process that dies in its fifth if asked to.
DRIVER = """
import os, signal, sys
from id3d_engine import job
from id3d_engine.cli import main
from id3d_engine.priors.training.denoiser import WeightAverage

job.CHECKPOINT_EVERY_S = -1.0
update = WeightAverage.update

def dying(self, step):
    update(self, step)
    if step == 4 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get("ID3D_TEST_DIES"):
    WeightAverage.update = dying
sys.exit(main(sys.argv[1:]))
"""
OPTIONS = (
    "--steps",
    "8",
    "--save-every",
    "4",
    "--rank",
    "2",
    "--learning-rate",
    "0.05",
    "--progress",
    "none",
)


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    path = tmp_path / "driver.py"
    path.write_text(DRIVER)
    return path


def launch(driver: Path, processes: int, *options: object, dies: bool = False) -> subprocess.CompletedProcess:
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(Path(__file__).parents[3]))
    if dies:
        environment["ID3D_TEST_DIES"] = "1"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return subprocess.run(
        [*command, str(driver), "train", *map(str, options), *OPTIONS],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def checkpoint(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out.with_name(out.name + ".work") / "denoiser.safetensors")


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """All weights, averaged weights and moments, but for rounding, which Adam makes much of.

    Of batches that are drawn or averaged otherwise, the moments differ by more than they are long.
    """
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert (value - other[key]).norm() <= 0.03 * value.norm() + 1e-7, key


@pytest.mark.slow
def test_two_processes_do_what_one_does_with_twice_the_batch(
    dataset_folder: Path, tiny_prior: Path, driver: Path, tmp_path: Path
) -> None:
    def run(name: str, processes: int, *options: object, **how: bool) -> subprocess.CompletedProcess:
        return launch(
            driver,
            processes,
            dataset_folder,
            "--base",
            tiny_prior,
            "--out",
            tmp_path / name,
            "--precision",
            "no",
            *options,
            **how,
        )

    one = run("one", 1, "--batch", 8)
    assert one.returncode == 0, one.stderr
    killed = run("two", 2, "--batch", 4, dies=True)
    assert killed.returncode != 0
    assert not (tmp_path / "two.work" / "samples-albedo-000008.png").exists()
    two = run("two", 2, "--batch", 4)
    assert two.returncode == 0, two.stderr
    assert two.stderr.count("is a prior now") == 1
    wanted = checkpoint(tmp_path / "one")
    moved = {k: v for k, v in wanted.items() if k.startswith("module") and k.endswith("to_v_id.weight")}
    assert max(float(v.abs().max()) for v in moved.values()) > 0.003  # they began at zero
    assert_same(checkpoint(tmp_path / "two"), wanted)
    for file in ("geometry.safetensors", "albedo.safetensors"):
        saved, other = (load_file(tmp_path / name / file) for name in ("two", "one"))
        assert all(torch.allclose(saved[k].float(), other[k].float(), atol=2e-3, rtol=2e-3) for k in saved)
    split = run("split", 2, "--batch", 2, "--accumulate", 2, "--shard-base", "--checkpointing")
    assert split.returncode == 0, split.stderr
    assert_same(checkpoint(tmp_path / "split"), wanted)


@pytest.mark.slow
def test_a_base_of_its_own_is_trained_by_two_processes_alike(
    dataset_folder: Path, tiny_prior: Path, driver: Path, tmp_path: Path
) -> None:
    """The autoencoder too; plain steps leave the adapters without gradients."""
    options = (
        dataset_folder, "--begin", tiny_prior,
        "--vae-steps", 2, "--vae-batch", 2, "--words-steps", 2, "--out",
    )  # fmt: skip
    two = launch(driver, 2, *options, tmp_path / "two", "--batch", 4)
    assert two.returncode == 0, two.stderr
    weights = load_file(tmp_path / "two" / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(value.isfinite().all() for value in weights.values())


def test_splitting_the_base_needs_several_processes_and_a_base(
    dataset_folder: Path, tiny_prior: Path, tmp_path: Path
) -> None:
    config = TrainingConfig(sizes=AdapterSizes(128, rank=2), shard_base=True)
    with pytest.raises(InputError, match="splits the base among processes: start several"):
        train(dataset_folder, tmp_path / "prior", config, base=tiny_prior)
    with pytest.raises(InputError, match="splits a frozen base: give one with --base"):
        train(dataset_folder, tmp_path / "other", config)
