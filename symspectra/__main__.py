"""``python -m symspectra``."""

import sys

from symspectra.cli import main

sys.exit(main())
