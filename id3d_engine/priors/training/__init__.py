"""Making priors: data, the training of their parts, and what a training leaves.

scans.py and `dataset.py` make shards; then, from the shards to a prior's folder (`train.py`):

shards.py, latents.py, data.py   what is read, encoded once, and drawn at every step
starter_base.py, vae.py          a base of its own and its autoencoder
denoiser.py                      the base and the adapters (parallel.py, optimizers.py, text_tokens.py)
starts.py, photo_gap.py          the start regressors, and what photographs are that renders are not
folder.py, result.py             what lies beside the checkpoints, and what a save writes
curves.py, samples.py, card.py   how it went: for people
"""
