from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from id3d_engine.errors import InputError
from id3d_engine.identity import Identity, distance


@pytest.fixture
def identity() -> Identity:
    return Identity(np.random.default_rng(3).normal(size=128).astype(np.float32), "dlib", 2)


def test_round_trip(identity, tmp_path):
    again = Identity.load(identity.save(tmp_path / "me.id"))
    np.testing.assert_array_equal(again.embedding, identity.embedding)
    assert (again.encoder, again.sources) == ("dlib", 2)
    assert again.sha256() == identity.sha256()
    assert [path.name for path in tmp_path.iterdir()] == ["me.id"]


def test_measures_are_kept_and_count(identity, tmp_path):
    """A file of an older version has none; one number of them is another request."""
    measures = np.random.default_rng(4).normal(size=30).astype(np.float32)
    known = replace(identity, measures=measures)
    again = Identity.load(known.save(tmp_path / "me.id"))
    np.testing.assert_array_equal(again.measures, measures)
    assert again.sha256() == known.sha256()
    assert Identity.load(identity.save(tmp_path / "old.id")).measures is None
    nudged = measures.copy()
    nudged[3] = np.nextafter(nudged[3], np.float32(9))
    assert len({i.sha256() for i in (identity, known, replace(identity, measures=nudged))}) == 3


def test_colours_are_kept_and_count(identity, tmp_path):
    colours = np.random.default_rng(5).normal(size=7).astype(np.float32)
    known = replace(identity, measures=np.ones(30, np.float32), colours=colours)
    again = Identity.load(known.save(tmp_path / "me.id"))
    np.testing.assert_array_equal(again.colours, colours)
    assert again.sha256() == known.sha256() != replace(known, colours=-colours).sha256()
    older = Identity.load(replace(known, colours=None).save(tmp_path / "older.id"))
    assert older.colours is None and older.measures is not None


def test_a_silhouette_is_kept_with_what_it_does_not_know(identity, tmp_path):
    silhouette = np.array([np.nan, 1.1, 0.2, 0.0, 0.4], np.float32)
    known = replace(identity, measures=np.ones(30, np.float32), silhouette=silhouette)
    again = Identity.load(known.save(tmp_path / "me.id"))
    np.testing.assert_array_equal(again.silhouette, silhouette)
    assert again.sha256() == known.sha256() != replace(known, silhouette=None).sha256()
    assert Identity.load(identity.save(tmp_path / "older.id")).silhouette is None
    endless = replace(known, silhouette=np.full(5, np.inf, np.float32))
    with pytest.raises(InputError, match="damaged"):
        Identity.load(endless.save(tmp_path / "broken.id"))


def test_an_identity_without_colours_has_the_sha256_it_always_had():
    """A checkpoint names its identity by it."""
    numbers = np.arange(6, dtype="<f4")
    expected = hashlib.sha256(b"dlib\0" + numbers[:4].tobytes() + numbers[4:].tobytes()).hexdigest()
    assert Identity(numbers[:4], measures=numbers[4:]).sha256() == expected


def test_same_identity_same_bytes(identity, tmp_path):
    first = identity.save(tmp_path / "a.id").read_bytes()
    assert first == identity.save(tmp_path / "b.id").read_bytes()


def test_sha256_tells_encoders_and_values_apart(identity):
    nudged = identity.embedding.copy()
    nudged[5] = np.nextafter(nudged[5], np.float32(9))
    others = [Identity(identity.embedding, "arcface"), Identity(nudged)]
    assert len({identity.sha256(), *(other.sha256() for other in others)}) == 3


def test_distance_is_euclidean():
    a, b = np.zeros(128, np.float32), np.zeros(128, np.float32)
    a[0], b[1] = 3, 4
    assert distance(Identity(a), Identity(b)) == pytest.approx(5)
    assert distance(Identity(a), Identity(a)) == 0


def test_encoders_do_not_compare():
    a, b = Identity(np.zeros(128, np.float32)), Identity(np.zeros(512, np.float32), "arcface")
    with pytest.raises(InputError, match=r"two encoders \(dlib and arcface\) cannot be compared"):
        distance(a, b)


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match=r"there is no identity file at .*: make one with `id3d identity"):
        Identity.load(tmp_path / "nobody.id")


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "bit flip in header", "too large"])
def test_corrupt_file(identity, tmp_path, damage):
    path = identity.save(tmp_path / "me.id")
    payload = bytearray(path.read_bytes())
    payload[12] ^= 0xFF
    contents = {
        "empty": b"",
        "text": b"hello, I am a text file",
        "truncated": path.read_bytes()[:-40],
        "bit flip in header": bytes(payload),
        "too large": bytes(2 << 20),
    }
    path.write_bytes(contents[damage])
    with pytest.raises(InputError, match=r"me\.id is not an identity file or is damaged: make one"):
        Identity.load(path)


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"weight": np.zeros(3, np.float32)}, None),
        ({"embedding": np.zeros(128, np.float32)}, {"identity": "[]"}),
        ({"embedding": np.zeros(128, np.float32)}, {"identity": '{"encoder": "dlib"}'}),
        ({"embedding": np.full(128, np.nan, np.float32)},
         {"identity": '{"schema": 1, "encoder": "dlib", "sources": 1}'}),
        ({"embedding": np.zeros(128, np.float32), "measures": np.full(9, np.inf, np.float32)},
         {"identity": '{"encoder": "dlib", "sources": 1, "schema": 1}'}),
        ({"embedding": np.zeros(128, np.float32), "colours": np.zeros(3, np.float32)},
         {"identity": '{"schema": 1, "encoder": "dlib", "sources": 1}'}),
        ({"embedding": np.zeros(128, np.float32), "silhouette": np.zeros(4, np.float32)},
         {"identity": '{"schema": 1, "encoder": "dlib", "sources": 1}'}),
        ({"embedding": np.zeros((2, 64), np.float32)},
         {"identity": '{"schema": 1, "encoder": "dlib", "sources": 1}'}),
    ],
)  # fmt: skip
def test_foreign_safetensors(tmp_path, tensors, metadata):
    save_file(tensors, tmp_path / "x.id", metadata=metadata)
    with pytest.raises(InputError, match="is not an identity file or is damaged"):
        Identity.load(tmp_path / "x.id")


def test_newer_schema(tmp_path):
    metadata = {"identity": '{"schema": 99, "encoder": "dlib", "sources": 1}'}
    save_file({"embedding": np.zeros(128, np.float32)}, tmp_path / "x.id", metadata=metadata)
    with pytest.raises(InputError, match="was written by a newer version of ID3D: update"):
        Identity.load(tmp_path / "x.id")


def test_unwritable_place(identity, tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*me\.id \(no such file or directory\)"):
        identity.save(tmp_path / "missing" / "me.id")
