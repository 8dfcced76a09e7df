"""The models that a user brings: bases, identity adapters and priors, each in a folder of one place.

`library.py` is that place (`model.json`, finding, checking, removing); `catalogue.py` knows a few
published models; `offers.py` asks a hub, a mirror or an address what there is to download;
`download.py` fetches it, going on after a cut; `pipeline.py` says which files of a diffusers folder
matter and why a folder will not do; `pickles.py` names the command that makes safetensors of pickles;
`install.py` puts a model into the library, whole or not at all.

This is the only part of the engine that may use the network, and only `id3d models add` does.
"""
