"""Spectra: a file or a typed list of peaks becomes the 600 points that a model reads."""

from importlib import import_module

_HOME = {
    "Spectrum": "spectrum",
    "read": "readers",
    "read_one": "readers",
    "parse_peaks": "readers.peak_lists",
    "prepare": "conversion",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
