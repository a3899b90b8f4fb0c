"""Which runs each notebook needs, so that they can be planned and trained before it is executed."""

from __future__ import annotations

from collections.abc import Callable

from symspectra.config import Config, ConfigError, Profile, suggest

THREE = ("ir", "c13", "h1")
TABLE_1_SIMULATED: dict[str, tuple[str, ...]] = {
    "IR": ("ir",),
    "13C-NMR": ("c13",),
    "1H-NMR": ("h1",),
    "IR, 13C-NMR, 1H-NMR": THREE,
    "IR, MS/MS+, MS/MS-": ("ir", "msms_pos", "msms_neg"),
}
# What is also trained on NMR axes that were sampled point by point.
RESAMPLED = (("symspectra", ("c13",)), ("symspectra", THREE), ("jung_cnn", ("c13",)))
MODELS: dict[str, str] = {"jung_cnn": "1D-CNN", "symspectra": "SymSpectra"}


def seeds(config: Config, profile: Profile) -> list[Config]:
    """One configuration a seed of the profile."""
    return [config.replace(seed=seed) for seed in profile.seeds]


def table_1(profile: Profile, model: str, row: str) -> list[Config]:
    """A cell of Table 1, simulated half: a model on a choice of spectra, one configuration a seed."""
    return seeds(profile.config(model, modalities=TABLE_1_SIMULATED[row]), profile)


def resampling(profile: Profile, model: str, how: str, modalities: tuple[str, ...]) -> list[Config]:
    """NMR axes brought to 600 points by ``how``; ``blockmax`` is Table 1's own."""
    return seeds(profile.config(model, modalities=modalities, resample=how), profile)


def weighting(profile: Profile, how: str) -> list[Config]:
    """SymSpectra on IR, 13C and 1H with the weights of section 2.2.3 (``paper``), or without (``none``)."""
    return seeds(profile.config("symspectra", modalities=THREE, weighting=how), profile)


def _dataset_runs(profile: Profile) -> list[Config]:
    return table_1(profile, "jung_cnn", "IR, 13C-NMR, 1H-NMR")


def _performance_runs(profile: Profile) -> list[Config]:
    cells = [config for row in TABLE_1_SIMULATED for model in MODELS for config in table_1(profile, model, row)]
    linear = [c for model, spectra in RESAMPLED for c in resampling(profile, model, "linear", spectra)]
    return cells + linear + weighting(profile, "none")


NOTEBOOKS: dict[str, Callable[[Profile], list[Config]]] = {
    "00_quickstart": lambda profile: [],
    "01_dataset": _dataset_runs,
    "02_performance": _performance_runs,
}


def find_notebooks(names: list[str] | None) -> list[str]:
    """Notebooks by number or name (``["02"]``); all of them for None.

    Raises
    ------
    ConfigError : for an unknown one, with the nearest right name.
    """
    if not names:
        return list(NOTEBOOKS)
    found = []
    for name in names:
        matches = [n for n in NOTEBOOKS if n == name or n.split("_")[0] == name]
        if not matches:
            raise ConfigError(f"there is no notebook {name!r}; {suggest(name, NOTEBOOKS)}")
        found += matches
    return sorted(set(found))


def planned_runs(profile: Profile, notebooks: list[str] | None = None) -> list[Config]:
    """Every run that the notebooks need, each once, in a stable order."""
    configs = [config for name in find_notebooks(notebooks) for config in NOTEBOOKS[name](profile)]
    return list(dict.fromkeys(configs))
