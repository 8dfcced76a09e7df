"""Build `starter/silhouette.safetensors` from MediaPipe's own file.

    pip download --no-deps mediapipe==0.10.21 && pip install ai-edge-litert
    unzip mediapipe-0.10.21-*.whl mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite
    python -m id3d_engine.identity.build_silhouette \\
        mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite

The wheel is licensed under Apache-2.0.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .silhouette_network import SIDE, SILHOUETTE_FILE, PersonNetwork

_CLOSE = 0.01  # of probability: the released file is in half precision, and rounded as it goes


def build(source: Path, path: Path = SILHOUETTE_FILE) -> None:
    """Write the network's weights, float16 as they come.

    Raises:
        SystemExit: the network does not answer as the file does.
    """
    from ai_edge_litert.interpreter import Interpreter
    from safetensors.torch import save_file

    # With XNNPACK its custom layer is known, and the weights can be read only before it takes them.
    file = Interpreter(str(source), num_threads=1)
    file.allocate_tensors()
    network = PersonNetwork()
    weights = _weights(file, network)
    network.load_state_dict(weights)
    apart = _apart(file, network.eval())
    print(f"apart from the file's answers by at most {apart:.1e}")
    if apart > _CLOSE:
        raise SystemExit("the network does not answer as the file does")
    save_file({name: tensor.half() for name, tensor in weights.items()}, path)


def _weights(file: Any, network: PersonNetwork) -> dict[str, torch.Tensor]:
    """Names and shapes as in the network; TensorFlow numbers its layers in the order they were made."""
    index = {entry["name"]: entry["index"] for entry in file.get_tensor_details()}
    tensors: dict[str, torch.Tensor] = {}
    made = {"conv2d": 0, "depthwise_conv2d": 0}
    for name, module in network.named_modules():
        if isinstance(module, nn.ConvTranspose2d):
            layer, axes = "segment", (3, 0, 1, 2)
        elif isinstance(module, nn.Conv2d):
            kind = "depthwise_conv2d" if module.groups > 1 else "conv2d"
            layer = f"{kind}_{made[kind]}" if made[kind] else kind
            axes = (3, 0, 1, 2) if module.groups > 1 else (0, 3, 1, 2)
            made[kind] += 1
        else:
            continue
        kernel = np.asarray(file.get_tensor(index[f"{layer}/Kernel"]), np.float32)
        bias = np.asarray(file.get_tensor(index[f"{layer}/Bias"]), np.float32)
        tensors[f"{name}.weight"] = torch.from_numpy(kernel).permute(axes).contiguous()
        tensors[f"{name}.bias"] = torch.from_numpy(bias.copy())
    return tensors


@torch.no_grad()
def _apart(file: Any, network: PersonNetwork) -> float:
    """The largest difference of answers to smooth random images."""
    coarse = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic").clamp(0, 1)
    apart = 0.0
    for image in images:
        file.set_tensor(file.get_input_details()[0]["index"], image.permute(1, 2, 0)[None].numpy())
        file.invoke()
        answer = file.get_tensor(file.get_output_details()[0]["index"])[0, ..., 0]
        apart = max(apart, float(np.abs(network(image[None])[0].numpy() - answer).max()))
    return apart


if __name__ == "__main__":
    build(Path(sys.argv[1]))
