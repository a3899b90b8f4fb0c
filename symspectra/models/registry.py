"""From a configuration to a model; and where a model of your own is registered."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from symspectra import config as _config
from symspectra.config import Config
from symspectra.errors import DataError
from symspectra.groups.orders import FIXED, label_order
from symspectra.groups.table8 import NAMES
from symspectra.models.base import SpectrumClassifier
from symspectra.models.baselines import BoostedTrees, JungCNN
from symspectra.models.symspectra import SymSpectra
from symspectra.models.transformers import PatchEmbeddingTransformer, PatchTransformer, TokenTransformer


def _symspectra(config: Config) -> SymSpectra:
    order = FIXED.get(config.order) or functools.partial(label_order, config.order)
    return SymSpectra(config, config.modalities, order, len(NAMES))


def _sizes(config: Config, *names: str) -> dict[str, Any]:
    sizes = {name: getattr(config, name) for name in ("width", "layers", "feedforward", "dropout", *names)}
    return {"n_modalities": len(config.modalities), "n_groups": len(NAMES), "heads": config.attention_heads, **sizes}


_BUILDERS: dict[str, Callable[[Config], SpectrumClassifier]] = {
    "symspectra": _symspectra,
    "jung_cnn": lambda config: JungCNN(len(config.modalities), len(NAMES), config.dense, filters=config.filters),
    "token_transformer": lambda config: TokenTransformer(**_sizes(config, "points")),
    "patch_transformer": lambda config: PatchTransformer(**_sizes(config, "patch", "inner")),
    "patch_embedding": lambda config: PatchEmbeddingTransformer(**_sizes(config, "patch")),
    "xgboost": lambda config: BoostedTrees(config.trees, config.seed, config.bins),
}


def register_model(name: str, build: Callable[[Config], SpectrumClassifier]) -> None:
    """Make a model of your own available as ``Config(model=name)``.

    Parameters
    ----------
    build : a function from a configuration to a `symspectra.models.base.SpectrumClassifier`; its source file, or its own
        source in a notebook, becomes part of a run's id

    Raises
    ------
    TypeError : ``build`` is not a function or a class.
    """
    if not (inspect.isfunction(build) or inspect.isclass(build)):
        raise TypeError(f"{name}: expected a function or class that builds the model, got {build!r}")
    _BUILDERS[name] = build
    _config.CHOICES["model"] = tuple(_BUILDERS)


def model_source(name: str) -> str:
    """Source of a model that was registered from outside the package, so that a change of it makes new runs."""
    build = _BUILDERS[name]
    if build.__module__ == __name__:
        return ""
    path = Path(inspect.getsourcefile(build) or "")
    return path.read_text() if path.is_file() else inspect.getsource(build)


def own_model(name: str) -> bool:
    """Whether a model was registered from outside the package: other processes do not know it."""
    return _BUILDERS[name].__module__ != __name__


def build_model(config: Config) -> SpectrumClassifier:
    """A model with fresh weights, drawn from the configuration's seed."""
    torch.manual_seed(config.seed)
    return _BUILDERS[config.model](config)


def save_model(path: str | Path, model: SpectrumClassifier, config: Config) -> None:
    """Write weights and configuration as one safetensors file."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, path, metadata={"config": json.dumps(config.to_dict())})


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[SpectrumClassifier, Config]:
    """Read a model written by `save_model`, in evaluation mode.

    Raises
    ------
    DataError : the file is missing, truncated, or not such a file; the message names it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as f:
            metadata = f.metadata() or {}
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
        config = Config.from_dict(json.loads(metadata["config"]))
        with torch.random.fork_rng():  # reading a model does not disturb the random numbers of a training
            model = build_model(config)
        model.load_state_dict(tensors)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such weights file") from error
    except (SafetensorError, KeyError, RuntimeError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a complete SymSpectra weights file ({error})") from error
    return model.to(device).eval(), config
