"""Everything that determines a training run: three blocks of settings, of the data, the model and the training."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from symspectra.errors import ConfigError, suggest
from symspectra.files import check_size
from symspectra.settings import MODELS, TRAINING, Data, Model, Training

LIMIT_BYTES = 1_000_000  # of a file of settings


@dataclass(frozen=True, init=False)
class Config:
    """One training run: ``Config("symspectra", beta=1e-2, seed=1)``. Equal settings mean the same run.

    Sizes and rates default to the paper's (App. B), a baseline's to its own published ones. Settings are given by name;
    each belongs to one of three blocks.

    Parameters
    ----------
    model : a name of `MODELS`
    settings : names and values of `Data`, of the model's block (`SymSpectra` for the paper's) and of `Training`

    Raises
    ------
    ConfigError : names an unknown setting and the nearest right one, or the value and what was expected.
    """

    data: Data
    model: Model
    training: Training

    def __init__(self, model: str = "symspectra", **settings: Any):
        if not isinstance(model, str) or model not in MODELS:
            own = f"If it is your own, import the module that registers {model!r}, or name that module with --import."
            raise ConfigError(f"model is {model!r}; {suggest(model, MODELS)} {own}")
        blocks = {"data": Data, "model": MODELS[model], "training": Training}
        names = {name: key for key, block in blocks.items() for name in block.model_fields if name != "name"}
        values: dict[str, dict[str, Any]] = {"data": {}, "model": {"name": model}, "training": {}}
        if settings.get("labels") and "order" in names:
            settings.setdefault("order", "given")
        for name, value in {**TRAINING.get(model, {}), **settings}.items():
            if name not in names:
                raise ConfigError(f"there is no setting {name!r} of {model}; {suggest(name, names)}")
            values[names[name]][name] = tuple(value) if isinstance(value, list) else value
        for key, block in blocks.items():
            try:
                object.__setattr__(self, key, block(**values[key]))
            except ValidationError as error:
                raise ConfigError(_sentence(error)) from error
        if model == "symspectra" and self.data.imbalance in ("class_weights", "focal"):
            raise ConfigError(f"imbalance {self.data.imbalance!r} is for baselines; SymSpectra's is `weighting`")
        if model == "xgboost" and self.training.pretrain_epochs:
            raise ConfigError("boosted trees cannot be pretrained; expected pretrain_epochs 0")
        if self.data.labels and self.get("order", "given") != "given":
            raise ConfigError(
                f"order is {self.model.order!r}, of the groups of Table 8; expected 'given' for own labels"
            )
        if self.data.labels and self.training.pretrain_epochs:
            raise ConfigError("own labels cannot be pretrained: the open data set has the groups of Table 8")

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Config:
        """Build from names and values, in the three blocks or flat, as read from TOML or JSON; lists become tuples.

        Raises
        ------
        ConfigError : as the constructor.
        """
        flat: dict[str, Any] = {}
        for name, value in settings.items():
            if name in ("data", "model", "training") and isinstance(value, dict):
                flat |= {"model" if key == "name" else key: own for key, own in value.items()}
            else:
                flat[name] = value
        return cls(**flat)

    def replace(self, **settings: Any) -> Config:
        """A copy with some settings changed, checked like any other."""
        return Config.from_dict({**self.to_dict(exclude_unset=True), **settings})

    def get(self, name: str, default: Any = None) -> Any:
        """A setting by its name, whatever its block; ``default`` where this model has none of that name."""
        for block in (self.data, self.model, self.training):
            if name in type(block).model_fields:
                return getattr(block, name)
        return default

    def pretraining(self) -> Config | None:
        """The run on ``open`` whose weights this one starts from, or None; it leaves the same molecules for testing."""
        if not self.training.pretrain_epochs:
            return None
        plain = {
            name: Data.model_fields[name].default for name in ("imbalance", "augment", "scarce_groups", "scarce_share")
        }
        training = {"epochs": self.training.pretrain_epochs, "pretrain_epochs": 0, "pretrain_molecules": 0}
        molecules = self.training.pretrain_molecules
        return self.replace(**plain, **training, dataset="open", molecules=molecules, split="molecule")

    def to_dict(self, **options: bool) -> dict[str, dict[str, Any]]:
        """The three blocks with names and values, ready for JSON; ``options`` are those of pydantic's `model_dump`."""
        return {name: getattr(self, name).model_dump(**options) for name in ("data", "model", "training")}


def _sentence(error: ValidationError) -> str:
    """What is wrong first, in one sentence."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    name, value = first["loc"][0], first["input"]
    if first["type"] == "literal_error":
        expected = [word.strip("'") for word in first["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return f"{name} is {value!r}; {suggest(value, expected)}"
    return f"{name} is {value!r}; {first['msg'].removeprefix('Value error, ').replace('Input should be', 'expected')}"


def load_config(path: str | Path, **settings: Any) -> Config:
    """Read a TOML file of settings, or the ``config.json`` of a run; ``settings`` override it.

    Raises
    ------
    ConfigError : the file cannot be read or holds an unknown setting; the message names the file.
    """
    path = Path(path)
    check_size(path, LIMIT_BYTES, ConfigError, "a TOML file of settings, or a run's config.json")
    try:
        raw = (json if path.suffix == ".json" else tomllib).loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: holds a {type(raw).__name__}; expected names and values")
    if "all" in raw and "seeds" in raw:
        raise ConfigError(f"{path}: is a profile; expected the settings of one run (`symspectra plan`)")
    if "given" in raw:
        name = raw.pop("given")["name"]
        raise ConfigError(f"{path}: was trained on data given in Python, {name!r}; expected `run(config, dataset=...)`")
    try:
        config = Config.from_dict(raw)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config.replace(**settings)
