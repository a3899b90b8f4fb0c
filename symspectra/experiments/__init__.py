"""What is run, and how large; the names that notebooks need, each read from its module when it is asked for."""

from importlib import import_module

_NAMES = {
    "profiles": "PROFILES Profile load_profile",
    "plan": """AUGMENTATIONS BASELINES COMPONENTS DECODERS MEASURED_ROW MEASURED_THREE MODELS NOTEBOOKS ORDERS PRIORS
        RESAMPLED STARTS STRATEGIES TABLE_1_MEASURED TABLE_1_SIMULATED THREE THREE_ROW augmentation cell component
        compression emphasis have_measured measured measured_augmentation measured_size measured_trees number_of_spectra
        planned_runs resampling scaffold scarce strategy table_1 trees variant weighting""",
    "reproduce": "FailedRuns describe train_missing",
    "notebook": "begin every runs_of say",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
