"""``python -m symspectra``."""

import sys

from symspectra.cli.main import main

sys.exit(main())
