"""Baselines behind the same interface as SymSpectra."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from symspectra.models.base import Groups, Present, Spectra, SpectrumClassifier
from symspectra.models.layers import ConvBlock


class JungCNN(SpectrumClassifier):
    """1D-CNN of Jung, Jung and Cole (Chem. Sci. 2023, 14, 3600; 10.1039/D2SC05892H).

    Two blocks Conv1d (kernel 11) -> BatchNorm -> ReLU -> MaxPool, three dense layers with dropout, one
    output per group. Their network reads one infrared spectrum; here the modalities are its input channels.

    Parameters
    ----------
    n_modalities : input channels; 64,015,708 parameters in all with one modality and the published widths
    dense : widths of the three dense layers, (4927, 2785, 1574) as published
    filters : widths of the two convolutions, (31, 62) as published
    """

    def __init__(
        self,
        n_modalities: int,
        n_groups: int = 37,
        dense: tuple[int, int, int] = (4927, 2785, 1574),
        dropout: float = 0.48599073736368,
        filters: tuple[int, int] = (31, 62),
    ):
        super().__init__()
        first, second = filters
        self.blocks = nn.Sequential(ConvBlock(n_modalities, first, 11, 2), ConvBlock(first, second, 11, 2))
        widths = (second * 150, *dense)
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.head = nn.Sequential(*layers, nn.Linear(widths[-1], n_groups))

    def forward(self, x: Spectra, present: Present) -> Groups:
        """Logits of the functional groups; a modality that was not measured is a channel of zeros."""
        return self.head(self.blocks(x * present.unsqueeze(-1)))


class BoostedTrees(SpectrumClassifier):
    """Gradient-boosted trees on the flattened spectra, one ensemble per group: ``XGBClassifier`` with its defaults.

    As the public benchmark script of Alberts et al. (2024) uses it. It is fitted once, by `fit`, and not by gradient
    descent. Needs ``symspectra[trees]``. Fewer ``bins`` than the default make it faster in proportion.
    """

    def __init__(self, trees: int = 100, seed: int = 0, bins: int = 256):
        super().__init__()
        self.trees, self.seed, self.bins = trees, seed, bins
        self.register_buffer("booster", torch.zeros(0, dtype=torch.uint8))  # the trees, in xgboost's own binary format
        self._model: Any = None

    def fit(self, x: Spectra, present: Present, y: Bool[Tensor, "batch group"]) -> None:
        """Grow the trees on all training spectra.

        Raises
        ------
        ImportError : xgboost is not installed.
        """
        model = _xgboost().XGBClassifier(
            n_estimators=self.trees, n_jobs=torch.get_num_threads(), random_state=self.seed, max_bin=self.bins
        )
        model.fit(self._features(x, present), y.cpu().numpy().astype(np.int8))
        self.booster = torch.frombuffer(model.get_booster().save_raw("ubj"), dtype=torch.uint8).clone()

    def predict(self, x: Spectra, present: Present) -> Groups:
        """Probabilities of the functional groups, in the order of the labels."""
        if self._model is None:
            self._model = _xgboost().Booster()
            self._model.load_model(bytearray(self.booster.cpu().numpy().tobytes()))
        p = self._model.inplace_predict(self._features(x, present))
        return torch.from_numpy(np.asarray(p, dtype=np.float32)).reshape(len(x), -1).clamp(0, 1)

    @staticmethod
    def _features(x: Tensor, present: Tensor) -> np.ndarray:
        return (x * present.unsqueeze(-1)).flatten(1).cpu().numpy()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """The trees have as many bytes as they have: take the buffer as it comes."""
        self.booster, self._model = torch.empty_like(state_dict[f"{prefix}booster"]), None
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise ImportError('model "xgboost" needs the package xgboost: pip install -e ".[trees]"') from error
    return xgboost
