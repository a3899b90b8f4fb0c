"""From a configuration to a model; and where a model of your own is registered."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import create_model

from symspectra import settings as _settings
from symspectra.config import Config
from symspectra.errors import ConfigError, DataError
from symspectra.groups.orders import FIXED, label_order
from symspectra.groups.table8 import NAMES
from symspectra.models.base import SpectrumClassifier
from symspectra.models.baselines import BoostedTrees, JungCNN
from symspectra.models.bottleneck import PRIORS, Prior
from symspectra.models.symspectra import SymSpectra
from symspectra.models.transformers import PatchEmbeddingTransformer, PatchTransformer, TokenTransformer


def labels_of(config: Config) -> tuple[str, ...]:
    """Names of what a model predicts, in the order of its answers: by default the groups of Table 8."""
    return config.data.labels or NAMES


def _symspectra(config: Config) -> SymSpectra:
    n, name = len(labels_of(config)), config.model.order
    order = range(n) if name == "given" else FIXED.get(name) or functools.partial(label_order, name)
    return SymSpectra(config.model, config.data.modalities, order, n)


def _baseline(kind: type[SpectrumClassifier], config: Config) -> SpectrumClassifier:
    """One whose settings are its parameters."""
    sizes = config.model.model_dump(exclude={"name"})
    return kind(len(config.data.modalities), len(labels_of(config)), **sizes)


def _trees(config: Config) -> BoostedTrees:
    return BoostedTrees(config.model.trees, config.training.seed, config.model.bins)


_BUILDERS: dict[str, Callable[[Config], SpectrumClassifier]] = {
    "symspectra": _symspectra,
    "jung_cnn": functools.partial(_baseline, JungCNN),
    "token_transformer": functools.partial(_baseline, TokenTransformer),
    "patch_transformer": functools.partial(_baseline, PatchTransformer),
    "patch_embedding": functools.partial(_baseline, PatchEmbeddingTransformer),
    "xgboost": _trees,
}
_OWN: dict[str, str] = {}  # source of what was registered from outside the package, by name


def register_model(
    name: str, build: Callable[[Config], SpectrumClassifier], settings: type[_settings.Model] | None = None
) -> None:
    """Make a model of your own available as ``Config(name)``.

    Parameters
    ----------
    build : a function from a configuration to a `symspectra.models.base.SpectrumClassifier`; its source file, or its
        own source in a notebook, becomes part of a run's id
    settings : what can be set of it, a subclass of `symspectra.settings.Model`; nothing by default

    Raises
    ------
    TypeError : ``build`` is not a function or a class.
    ValueError : a setting has the name of one of the data or the training.
    """
    if not (inspect.isfunction(build) or inspect.isclass(build)):
        raise TypeError(f"{name}: expected a function or class that builds the model, got {build!r}")
    settings = settings or create_model(name, __base__=_settings.Model, name=(str, name))
    others = {*_settings.Data.model_fields, *_settings.Training.model_fields}
    if taken := others & settings.model_fields.keys():
        raise ValueError(f"{name}: {', '.join(sorted(taken))} is already a setting of the data or the training")
    _BUILDERS[name], _OWN[name], _settings.MODELS[name] = build, _source(build), settings


def register_prior(name: str, prior: Prior) -> None:
    """Make a prior of your own available as ``Config(prior=name)``; its source becomes part of a run's id.

    Raises
    ------
    TypeError : the source of its noise or divergence cannot be read.
    """
    sources = [_source(function) for function in (prior.noise, prior.divergence) if function is not None]
    PRIORS[name] = prior
    _OWN[f"prior {name}"] = "".join([repr(prior.moments), *sources])
    if name not in _settings.PRIORS:
        _settings.PRIORS.append(name)


def _source(thing: Callable[..., Any]) -> str:
    """The file that defines a function or class, or its own lines in a notebook."""
    try:
        path = Path(inspect.getsourcefile(thing) or "")
        return path.read_text() if path.is_file() else inspect.getsource(thing)
    except (OSError, TypeError) as error:
        raise TypeError(f"{thing!r}: its source cannot be read; define it in a file or in a notebook") from error


def own_source(config: Config) -> str:
    """Source of the model and prior of a run that were registered from outside the package, or ``""``."""
    return _OWN.get(config.model.name, "") + _OWN.get(f"prior {config.get('prior')}", "")


def build_model(config: Config) -> SpectrumClassifier:
    """A model with fresh weights, drawn from the configuration's seed."""
    torch.manual_seed(config.training.seed)
    return _BUILDERS[config.model.name](config)


def save_model(path: str | Path, model: SpectrumClassifier, config: Config) -> None:
    """Write weights and configuration as one safetensors file."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    Path(path).write_bytes(save(tensors, {"config": json.dumps(config.to_dict())}))


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[SpectrumClassifier, Config]:
    """Read a model written by `save_model`, in evaluation mode.

    Raises
    ------
    DataError : the file is missing, truncated, or not such a file; the message names it.
    ConfigError : its model or prior was registered by a module that is not imported.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as f:
            settings = json.loads((f.metadata() or {})["config"])
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
        config = Config.from_dict(settings)
        with torch.random.fork_rng():  # reading a model does not disturb the random numbers of a training
            model = build_model(config)
        model.load_state_dict(tensors)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such weights file") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (SafetensorError, KeyError, RuntimeError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a complete SymSpectra weights file ({error})") from error
    return model.to(device).eval(), config
