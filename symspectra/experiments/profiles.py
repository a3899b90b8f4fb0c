"""Profiles: how large the experiments are, from a minute on a laptop to the paper's own scale."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from symspectra.config import Config
from symspectra.errors import ConfigError, suggest

PROFILES = ("smoke", "demo", "evening", "open", "paper")
FOLDER = Path(__file__).parent.parent / "data" / "profiles"


@dataclass(frozen=True)
class Grids:
    """Which settings the experiments go through."""

    emphasis: tuple[float, ...]  # values of s1 and of s2 (Fig 11a)
    betas: tuple[float, ...]  # weights of the bound (Fig 11b)
    penalties: tuple[float, ...]  # weights of the term that the paper leaves out (Table 5)
    shares: tuple[float, ...]  # of the training positives that stay (Fig 4), besides all of them
    scarce_groups: tuple[int, ...]  # of Fig 4, as Table 8 numbers (`datasets.imbalance.rarest_groups` found them)
    scarce_models: tuple[str, ...]  # of Fig 4
    measured_sizes: tuple[int, ...]  # molecules with measured spectra to train on, 0 for all
    learning_sizes: tuple[int, ...] = ()  # training molecules of the learning curves; none where it is empty


@dataclass(frozen=True)
class Profile:
    """How large the experiments are: seeds, grids, and the settings of every model (``data/profiles/<name>.toml``)."""

    name: str
    description: str
    seeds: tuple[int, ...]  # of the tables
    few_seeds: tuple[int, ...]  # of the grids and studies that need many runs
    grids: Grids
    settings: dict[str, dict[str, Any]]
    cost: dict[str, float]  # measured seconds of a run on three spectra, by model
    measured: dict[str, Any]  # what differs for measured spectra

    def seconds(self, config: Config) -> float | None:
        """Estimated seconds of a run on one core, from what its model took on three spectra; None where unknown."""
        if config.model.name not in self.cost:
            return None
        usual, molecules = self.config(config.model.name), config.data.molecules
        longer = config.training.epochs / usual.training.epochs
        more = molecules / usual.data.molecules if molecules and usual.data.molecules else 1
        return self.cost[config.model.name] * len(config.data.modalities) / 3 * longer * more

    def config(self, model: str = "symspectra", **settings: Any) -> Config:
        """Configuration of a model in this profile; ``settings`` override it."""
        common, own = self.settings.get("all", {}), self.settings.get(model, {})
        return Config(model, **{**common, **own, **settings})

    def measured_config(self, model: str = "symspectra", pretrained: bool = False, **settings: Any) -> Config:
        """A model on measured spectra; pretrained on simulated ones for half as many epochs, or not."""
        own = dict(self.measured)
        on_open = own.pop("pretrain_molecules")
        config = self.config(model, dataset="experimental", **{**own, **settings})
        half = (config.training.epochs + 1) // 2
        return config.replace(pretrain_epochs=half, pretrain_molecules=on_open) if pretrained else config


def load_profile(name: str) -> Profile:
    """One of the profiles ``smoke``, ``demo``, ``evening``, ``open`` and ``paper``.

    Raises
    ------
    ConfigError : for an unknown name, with the nearest right one; or its seeds contradict each other.
    """
    if name not in PROFILES:
        raise ConfigError(f"there is no profile {name!r}; {suggest(name, PROFILES)}")
    raw = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    if "like" in raw:  # everything that is not said is as in that profile
        like = tomllib.loads((FOLDER / f"{raw.pop('like')}.toml").read_text())
        raw = like | {k: like.get(k, {}) | own if isinstance(own, dict) else own for k, own in raw.items()}
    grids = Grids(**{key: tuple(values) for key, values in raw.pop("grids").items()})
    seeds, few_seeds = tuple(raw.pop("seeds")), tuple(raw.pop("few_seeds"))
    if not set(few_seeds) <= set(seeds):
        raise ConfigError(f"profile {name}: few_seeds are {few_seeds}; expected some of its seeds, {seeds}")
    description, cost, measured = raw.pop("description"), raw.pop("seconds", {}), raw.pop("measured")
    return Profile(name, description, seeds, few_seeds, grids, raw, cost, measured)
