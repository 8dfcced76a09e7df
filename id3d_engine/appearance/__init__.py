"""The appearance stage: albedo, roughness and specularity by score distillation, baked to maps.

settings.py       presets and weights
psi_a.py          Psi_a, the transformer field on the template's surface
atlas.py          charts at one texture size: texels, surface points, dilation
canvas.py         Psi_a over a start appearance, on a grid and in views
pseudo_albedo.py  renders with the known light divided out: what the prior sees
guide.py          the prior's answer to renders: targets, or plain score distillation
regularisers.py   smoothness, symmetry, pull to the start, surfaces by region
paint.py          the rounds, and the finished maps
eyes.py           eyes and mouth: tinted, not painted
detail.py         micro relief as heights, and its tangent-space normal map
maps.py           the maps as arrays
"""
