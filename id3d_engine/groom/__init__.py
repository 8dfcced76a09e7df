"""Grooming: hair as strands on a finished head, by the look that its maps were painted for.

`groom` is the whole of it: `scalp.py` places roots, `cuts.py` says how styles are cut and combed, `grow.py`
grows them, `face.py` adds beard, brows and lashes, `tint.py` colours them.
"""

from .groom import groom

__all__ = ["groom"]
