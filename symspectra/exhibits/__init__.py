"""Tables, figures, verdicts and the report: what notebooks show, and `results`, the numbers behind them."""

from importlib import import_module
from typing import Any

HOME = {name: "tables" for name in ("results", "tidy", "save_exhibit", "show_exhibit", "look", "described")}
HOME["write_report"] = "report"
__all__ = list(HOME)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"{__name__} has no {name}")
    module = import_module(f"{__name__}.{HOME[name]}")
    globals()[name] = value = getattr(module, name)
    return value
