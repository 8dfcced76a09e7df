"""`python -m id3d_engine ...` is `id3d ...`."""

import sys

from .cli import main

sys.exit(main())
