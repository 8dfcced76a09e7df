"""Pickled weights are never opened here: a pickle can run any program. The user converts them once.

What is named instead is a command of a dozen words of Python that reads the tensors alone
(`weights_only`) and writes a `.safetensors` beside every `.bin` of a folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

PICKLES = (".bin", ".ckpt", ".pt", ".pth")

# Groups of tensors (FaceID's `image_proj` and `ip_adapter`) become prefixes of flat keys; clones,
# because safetensors refuses tensors that share memory. No double quotes inside: it goes through a shell.
_CODE = (
    "import sys, pathlib; from torch import load; from safetensors.torch import save_file; "
    "p = pathlib.Path(sys.argv[1]); "
    "[save_file({k: v.contiguous().clone() for g, t in load(f, map_location='cpu', weights_only=True).items()"
    " for k, v in ({g + '.' + n: x for n, x in t.items()} if hasattr(t, 'items') else {g: t}).items()},"
    " f.with_suffix('.safetensors')) for f in ([p] if p.is_file() else p.rglob('*.bin'))]"
)


def conversion_command(what: Path) -> str:
    """The command that converts a `.bin` file, or every one in a folder; the same for any shell."""
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f'{python} -c "{_CODE}" "{what}"'
