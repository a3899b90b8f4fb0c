"""What is raised for input that cannot be used. Every message names the file or setting, and says what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """A setting, option or argument that does not exist or has the wrong type or value."""


class DataError(ValueError):
    """A data file that is missing, damaged or inconsistent."""


class ReadError(ValueError):
    """A file or a text that cannot be read as a spectrum; one sentence."""


class RunError(RuntimeError):
    """A run that could not be written or read; the message names its folder."""


class WorkerError(RuntimeError):
    """A worker or its scheduler cannot be used: no run would get further."""


def suggest(name: object, allowed: Iterable[object]) -> str:
    """``did you mean ...?`` when one is near, and what would be right."""
    words = [str(a) for a in allowed]
    near = difflib.get_close_matches(str(name), words, n=1, cutoff=0.5)
    return (f"did you mean {near[0]!r}? " if near else "") + f"Expected one of: {', '.join(words)}."
