"""Expressions and their animation; what the operators and the panel call.

names.py     the 13 expressions, and the regions of the face that ARKit's units move
values.py    reset, mirror, blend: slider values of a head
actions.py   whole animation curves as an Action; the one module that knows Blender's versions
example.py   the curves of the example animation
livelink.py  reads Live Link Face recordings
settings.py  what the panel remembers (`Scene.id3d_expressions`)
"""
