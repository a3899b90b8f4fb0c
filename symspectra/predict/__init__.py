"""A chemist's job: from spectra to functional groups with calibrated probabilities.

``symspectra.predict(...)`` is `symspectra.predict.predictor.predict`: the module can be called, since it has its name.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["Prediction", "Predictor", "predict"]


class _Callable(ModuleType):
    def __call__(self, sources: Any) -> Any:
        return self.predict(sources)


sys.modules[__name__].__class__ = _Callable


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.predictor"), name)
