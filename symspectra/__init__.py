"""SymSpectra: functional groups from several spectra at once.

The library is meant to be imported by module, as the notebooks do: ``from symspectra.training.runs import run``.
"""

__version__ = "0.1.0"
