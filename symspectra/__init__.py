"""SymSpectra: functional groups from several spectra at once."""

from importlib import import_module
from typing import Any

__version__ = "1.0.0"

HOME = {
    "Config": "config:Config",
    "run": "training.runs:run",
    "load_profile": "experiments.profiles:load_profile",
    "predict": "predict",
    "read": "spectra.readers:read_one",
    "label": "groups.table8:label",
}
__all__ = ["__version__", *HOME]


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = HOME[name].partition(":")
    found = import_module(f"{__name__}.{module}")
    return getattr(found, attribute) if attribute else found
