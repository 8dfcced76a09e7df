"""Heads for other programs.

glb.py              GLB with named morph targets (`glb_buffer.py`: its binary half)
obj.py              OBJ + MTL + PNG, quads kept
through_blender.py  .blend, FBX and USD, in Blender processes of their own
blend.py            that process: the one module here that imports bpy
axes.py             the one place where Blender's axes become those of GLB and OBJ
whole.py            files whole or not at all
"""
