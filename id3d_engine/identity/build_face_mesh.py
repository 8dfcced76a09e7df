"""Build `starter/face_mesh.safetensors` from MediaPipe's own file.

    pip download --no-deps mediapipe==0.10.21 && pip install ai-edge-litert
    unzip mediapipe-0.10.21-*.whl mediapipe/modules/face_landmark/face_landmark.tflite
    python -m id3d_engine.identity.build_face_mesh mediapipe/modules/face_landmark/face_landmark.tflite

The wheel is licensed under Apache-2.0. Renders of training heads tell what the mean face is, and which point
is which one's mirror image.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..assets.photo import photo_like
from ..assets.sampler import sample_asset
from ..job import Job
from ..template import load_template
from .dlib_encoder import DlibEncoder
from .face_mesh import MESH_FILE, POINTS, FaceMesh, aligned, around

HEADS = 40


def build(source: Path, path: Path = MESH_FILE) -> None:
    """Write the network's weights, float16 as they come, `mirror`, (468,) int64, and `mean`, (468, 3)."""
    from safetensors.torch import save_file

    tensors = _weights(source)
    network = FaceMesh()
    network.load_state_dict(tensors)
    mean = _mean(network.eval())
    mirror = linear_sum_assignment(_distances(mean, mean * np.array([-1, 1, 1])))[1]
    if (mirror[mirror] != np.arange(POINTS)).any():
        raise SystemExit("the mean face is not symmetric enough to pair its points: render more heads")
    mean = (mean + mean[mirror] * np.array([-1, 1, 1])) / 2
    mean /= np.sqrt((mean**2).sum(axis=1).mean())
    weights = {name: tensor.half() for name, tensor in tensors.items()}
    save_file({**weights, "mirror": torch.from_numpy(mirror), "mean": torch.from_numpy(mean).float()}, path)


@torch.no_grad()
def _mean(network: FaceMesh) -> NDArray[np.float64]:
    """(468, 3) points of the mean head, looked at as it is and mirrored; its plane of symmetry is x = 0."""
    template, encoder, found = load_template(), DlibEncoder(), []
    for seed in range(HEADS):
        asset, generator = sample_asset(template, seed), Job(seed=seed).generator("mean")
        photo = photo_like(asset, template, generator, strength=0.2)
        for face in encoder.faces(photo)[:1]:
            crop = around(face).cut(photo)
            points, _ = network(torch.cat([crop, crop.flip(3)]))
            found += list(points.double().numpy())
    mean = found[0] - found[0].mean(axis=0)
    for _ in range(3):
        mean = np.mean([aligned(points, mean) for points in found], axis=0)
    return mean - mean.mean(axis=0)


def _weights(source: Path) -> dict[str, torch.Tensor]:
    """Names and shapes as in `FaceMesh`; TensorFlow numbers its layers in the order they were made."""
    from ai_edge_litert.interpreter import Interpreter

    file = Interpreter(str(source))
    file.allocate_tensors()
    index = {entry["name"]: entry["index"] for entry in file.get_tensor_details()}
    tensors: dict[str, torch.Tensor] = {}

    def take(name: str, layer: str, axes: tuple[int, ...]) -> None:
        for part, ending in (("Kernel", "weight"), ("Bias", "bias")):
            values = torch.from_numpy(np.asarray(file.get_tensor(index[f"{layer}/{part}"]), np.float32))
            tensors[f"{name}.{ending}"] = (values.permute(axes) if part == "Kernel" else values).contiguous()

    def conv(name: str, number: int) -> None:
        take(name, f"conv2d_{number}", (0, 3, 1, 2))

    def slope(name: str, number: int) -> None:
        alpha = np.asarray(file.get_tensor(index[f"p_re_lu_{number}/Alpha"]), np.float32)
        tensors[f"{name}.weight"] = torch.from_numpy(alpha.reshape(-1).copy())

    def block(name: str, deep: int, point: int, alpha: int) -> None:
        take(f"{name}.deep", f"depthwise_conv2d_{deep}", (3, 0, 1, 2))
        conv(f"{name}.point", point)
        slope(f"{name}.slope", alpha)

    conv("stem.conv", 1)
    slope("stem.slope", 1)
    for i in range(14):
        block(f"trunk.{i}", i + 1, i + 2, i + 2)
    for i in range(3):
        block(f"mesh.{i}", 15 + i, 16 + i, 16 + i)
    conv("mesh.3", 19)
    slope("mesh.4", 19)
    block("mesh.5", 18, 20, 20)
    conv("mesh.6", 21)
    block("presence.0", 23, 28, 26)
    conv("presence.1", 29)
    slope("presence.2", 27)
    block("presence.3", 24, 30, 28)
    conv("presence.4", 31)
    return tensors


def _distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.linalg.norm(a[:, None] - b[None], axis=2)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
