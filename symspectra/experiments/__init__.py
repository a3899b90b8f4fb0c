"""What is run, and how large; the names that notebooks need, each read from its module when it is asked for."""

from importlib import import_module

_MODULES = {
    "profiles": ("Profile", "load_profile"),
    "notebook": ("begin", "every", "runs_of", "say"),
    "reproduce": ("FailedRuns", "describe", "train_missing"),
}


def __getattr__(name: str) -> object:
    """Everything else, the cells of the exhibits and their names, is of `symspectra.experiments.plan`."""
    module = next((module for module, names in _MODULES.items() if name in names), "plan")
    return getattr(import_module(f"{__name__}.{module}"), name)
