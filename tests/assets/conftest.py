import pytest
import torch

from id3d_engine.assets.sampler import sample_asset
from id3d_engine.template import load_template

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def template():
    return load_template()


@pytest.fixture(scope="session")
def asset(template):
    return sample_asset(template, 3)
