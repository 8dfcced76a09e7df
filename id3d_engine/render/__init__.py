"""Differentiable rendering: only visibility needs a native kernel, everything else is torch.

cameras.py     orbit cameras, training views, their text
visibility.py  which triangle each pixel sees (Numba on the CPU; on CUDA nvdiffrast, or torch alone)
raster.py      barycentrics, interpolation, texture lookup
antialias.py   silhouette blending, the source of silhouette gradients
normals.py     camera-space normal images
lights.py, shading.py   GGX under directional, point and environment light
bake.py        maps over UV space, dilation, tangent-space normals

Images are (B, C, H, W), row 0 on top; cameras are OpenGL (x right, y up, z to the viewer).
"""
