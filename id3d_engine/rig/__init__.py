"""The template's expressions on any head of its topology.

units.py    the 52 ARKit units in a head's own shape: deformation transfer
lids.py     lids that meet
follow.py   the parts of a head, and what follows the skin: eyeballs, teeth, tongue
smooth.py   fields over a mesh: Laplacians, smooth offsets, extensions
"""
