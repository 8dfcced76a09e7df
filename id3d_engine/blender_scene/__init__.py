"""A head bundle as Blender objects. Imports only bpy, numpy, the standard library, `errors` and `strands`.

Two programs share it: `export/blend.py`, which writes .blend files, and the Blender extension,
which imports bundles into an open scene. It is the one package of the engine that may import bpy.

    bundle.py    reads a bundle without torch or safetensors
    mesh.py      one mesh: quads and triangles, UVs, parts, shape keys
    images.py    its maps, packed or beside the .blend
    material.py  Principled materials for skin, eyes and mouth
    hair.py      strands -> hair curves on the head (`hair_material.py`: how they look)
    head.py      bundle -> object in its own collection, with provenance
    export.py    one head as glTF, FBX or USD (`formats.py`: their file names)
    stage.py     a camera and soft lights, in a collection of their own
"""
