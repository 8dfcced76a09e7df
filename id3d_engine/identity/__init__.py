"""Photos -> `Identity`: find the face, read it, average over the photos that agree.

    photo.py            a file to upright 8-bit RGB
    faces.py            a found face; which of several is meant
    encoders.py         what a recogniser offers; `load_encoder(name)`
    dlib_encoder.py     the default: dlib's public-domain network, 128 numbers
    arcface_encoder.py  optional: insightface's ArcFace, 512 numbers, non-commercial weights
    face_mesh.py        468 points of a face
    measures.py         its proportions, by these points
    colours.py          its skin's and hair's colours, by these points
    silhouette.py       how its hair stands off the head, by these points and the person's outline
    identify.py         several photos to one identity
    identity.py         the identity and its `.id` file

Nothing here keeps a photo or its path.
"""

from __future__ import annotations

from .encoders import ENCODERS, Encoder, load_encoder
from .faces import Face
from .identify import identify
from .identity import Identity, distance
from .photo import load_photo

__all__ = ["ENCODERS", "Encoder", "Face", "Identity", "distance", "identify", "load_encoder", "load_photo"]
