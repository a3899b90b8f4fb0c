"""The command line: `symspectra`."""

from symspectra.cli.main import main

__all__ = ["main"]
