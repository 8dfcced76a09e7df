"""The two 2D priors: `phi_g` draws a head's camera-space normals, `phi_a` its albedo.

Using one: `prior.py` (load, encode, predict, denoise), `conditions.py`, `guidance.py` (SDS and its
several-step form), `prompts.py`, `noise.py`, `locate.py`.
Being one: `base.py` and `starter_base.py` (the latent diffusion base), `tokenizer.py`,
`adapters.py`, `adapter_files.py` and `low_rank.py` (ID-to-3D's adapter).
Out of published weights: `assemble.py`, `faceid.py`, `checkpoint.py` (single files), `layout.py`.
Making one: `dataset.py`, `train.py`, `train_vae.py`, `train_denoiser.py`, `start.py`.
"""
