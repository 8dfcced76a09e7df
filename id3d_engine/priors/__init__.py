"""The two 2D priors: `phi_g` draws a head's camera-space normals, `phi_a` its albedo.

Using one: `prior.py` (load, encode, predict, denoise), `conditions.py`, `guidance.py` (SDS and its
several-step form), `quick_encoder.py`, `prompts.py`, `noise.py`, `memory.py`, `quicken.py`, `locate.py`.
Being one: `base.py` (the latent diffusion base), `tokenizer.py`, `adapters.py`, `adapter_files.py` and
`low_rank.py` (ID-to-3D's adapter), `start.py` with `reading.py` (the start head).
Out of published weights: `assemble.py`, `faceid.py`, `checkpoint.py` (single files), `layout.py`.
Making one: `training/`.
"""
