from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from id3d_engine.errors import InputError
from id3d_engine.priors.noise import NoiseSchedule


@pytest.fixture(params=["epsilon", "v_prediction"])
def schedule(request: pytest.FixtureRequest) -> NoiseSchedule:
    return NoiseSchedule.of(DDPMScheduler(beta_schedule="scaled_linear", prediction_type=request.param))


def test_target_and_conversion_are_inverse(schedule: NoiseSchedule) -> None:
    schedule = NoiseSchedule(schedule.abar.double(), schedule.prediction)
    x0, noise = torch.randn(2, 3, 4, 2, 2, dtype=torch.float64)
    t = torch.tensor([0, 500, 998])
    noisy = schedule.add_noise(x0, noise, t)
    eps, clean = schedule.eps_and_x0(noisy, schedule.target(x0, noise, t), t)
    torch.testing.assert_close(eps, noise)
    torch.testing.assert_close(clean, x0)


def test_agrees_with_diffusers(schedule: NoiseSchedule) -> None:
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", prediction_type=schedule.prediction)
    x0, noise = torch.randn(2, 3, 4, 2, 2)
    t = torch.tensor([0, 500, 999])
    torch.testing.assert_close(schedule.add_noise(x0, noise, t), scheduler.add_noise(x0, noise, t))
    if schedule.prediction == "v_prediction":
        torch.testing.assert_close(schedule.target(x0, noise, t), scheduler.get_velocity(x0, noise, t))


def test_v_prediction_knows_the_image_at_zero_snr() -> None:
    schedule = NoiseSchedule.of(DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction"))
    x0, noise = torch.randn(2, 1, 4, 2, 2)
    t = torch.tensor([999])
    noisy = schedule.add_noise(x0, noise, t)
    assert torch.equal(noisy, noise)
    eps, clean = schedule.eps_and_x0(noisy, schedule.target(x0, noise, t), t)
    assert torch.equal(eps, noise)
    assert torch.equal(clean, x0)


def test_other_predictions_are_refused() -> None:
    with pytest.raises(InputError, match="predicts 'sample': use one that predicts epsilon or v_prediction"):
        NoiseSchedule.of(DDPMScheduler(prediction_type="sample"))
