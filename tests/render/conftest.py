import numpy as np
import pytest
import torch
import trimesh

from id3d_engine.render.cameras import orbit


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sphere(subdivisions, radius=0.1, centre=(0.0, 0.0, 0.115)):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    vertices = torch.tensor(np.asarray(mesh.vertices) + np.asarray(centre), dtype=torch.float32)
    return vertices, torch.tensor(np.asarray(mesh.faces), dtype=torch.int32)


@pytest.fixture
def ball():
    """A 0.1 m icosphere where the head would be: (V, 3), (T, 3)."""
    return sphere(3)


@pytest.fixture
def fine_ball():
    return sphere(5)


@pytest.fixture
def two_cameras():
    return orbit(torch.tensor([20.0, -130.0]), torch.tensor([10.0, -5.0]))


@pytest.fixture
def square():
    """Clip coordinates (1, 4, 4) and triangles of the square |x|, |y| < 0.5 at depth 0, w = 1."""
    corners = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    clip = torch.cat([corners, torch.zeros(4, 1), torch.ones(4, 1)], 1)[None]
    return clip, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
