"""Data sets: the simulated ``open`` one, prepared folders, spectra of your own, and views of them."""

from importlib import import_module
from typing import Any

_HOME = {
    **dict.fromkeys(("ArrayDataset", "JoinedDataset", "LineDataset", "SpectraDataset", "load_dataset"), "base"),
    **dict.fromkeys(("Corrupted", "Oversampled", "Resplit", "Scarce", "Withheld"), "views"),
    **{"Augmented": "augmentation", "PreparedDataset": "prepared", "split_of": "splits"},
}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
