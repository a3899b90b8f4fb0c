"""From a chemist's files to functional groups with calibrated probabilities, from any subset of the spectra.

A predictor is a folder: ``model.safetensors`` (the weights), ``predictor.json`` (calibration, thresholds and test
scores of every subset of the spectra), ``likeness.safetensors`` (what training spectra look like), and, where it was
tried on measured spectra, ``measured.json``.
`symspectra.predictor_build` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from symspectra.calibration import Scaling
from symspectra.config import MODALITIES, Config, suggest
from symspectra.conversion import Prepared, prepare_all
from symspectra.functional_groups import NAMES
from symspectra.likeness import UNLIKE, Likeness
from symspectra.lines import DataError
from symspectra.readers import read_one
from symspectra.spectrum import ReadError, Spectrum

if TYPE_CHECKING:
    import pandas

    from symspectra.model import SymSpectra

SHIPPED = Path(__file__).parent / "weights" / "predictor"
FEW = {"training": 30, "validation": 5}  # molecules; with fewer, a group is hardly learned, or nothing is known of it
TRANSFERS = 0.75  # of the F1 on simulated spectra must be reached on measured ones, or there is a warning
BATCH = 128  # molecules; larger batches leave the processor's caches

Source = str | Path | Spectrum | Prepared


def subset_key(modalities: Sequence[str]) -> str:
    """Name of a subset of the modalities in ``predictor.json``: ``"ir+c13"``."""
    return "+".join(sorted(modalities, key=MODALITIES.index))


class GroupPrediction(NamedTuple):
    """What is said of one functional group.

    Parameters
    ----------
    probability : calibrated
    threshold : from which the group counts as predicted; the one with the best F1 on validation
    prevalence : share of the training molecules that have the group
    f1 : of this group on the test molecules with these spectra; None where no test molecule has it
    note : why the answer is not to be relied on; empty where it is
    """

    name: str
    probability: float
    threshold: float
    prevalence: float
    f1: float | None
    note: str

    @property
    def predicted(self) -> bool:
        """Whether the probability reaches the threshold."""
        return self.probability >= self.threshold


@dataclass(frozen=True)
class Prediction:
    """The 37 groups of one molecule, the spectra they were read from, and what to be careful about."""

    groups: tuple[GroupPrediction, ...]
    spectra: dict[str, Prepared]
    warnings: tuple[str, ...]

    def table(self, least: float = 0.0) -> pandas.DataFrame:
        """One row a group, most probable first; only those of at least ``least`` probability, or predicted."""
        import pandas as pd

        rows = [
            {
                "group": g.name,
                "probability": round(g.probability, 3),
                "predicted": "yes" if g.predicted else "",
                "threshold": round(g.threshold, 2),
                "in training": f"{g.prevalence:.1%}",
                "F1": "" if g.f1 is None else f"{g.f1:.2f}",
                "note": g.note,
            }
            for g in sorted(self.groups, key=lambda g: -g.probability)
            if g.predicted or g.probability >= least
        ]
        return pd.DataFrame(
            rows, columns=["group", "probability", "predicted", "threshold", "in training", "F1", "note"]
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; groups in the order of Table 8."""
        return {
            "groups": [{**g._asdict(), "predicted": g.predicted} for g in self.groups],
            "spectra": {name: list(prepared.steps) for name, prepared in self.spectra.items()},
            "warnings": list(self.warnings),
        }


class Predictor:
    """A trained model with its calibration.

    Parameters
    ----------
    folder : written by `symspectra.predictor_build.build`; the shipped one by default

    Raises
    ------
    DataError : a file of the folder is missing or damaged; the message names it.
    """

    def __init__(self, folder: str | Path = SHIPPED):
        from symspectra.models import load_model

        folder = Path(folder)
        self.card = _read_card(folder / "predictor.json")
        model, config = load_model(folder / "model.safetensors")
        self.model: SymSpectra = _fuse(model)
        self.config: Config = config
        if list(config.modalities) != self.card["modalities"]:
            raise DataError(f"{folder}: predictor.json is of another model than model.safetensors")
        measured = folder / "measured.json"  # of `symspectra.measured.evaluate`, where it was run
        self.measured: dict[str, dict[str, float]] = json.loads(measured.read_text()) if measured.exists() else {}
        self.likeness = _read_likeness(folder / "likeness.safetensors", config.modalities)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The spectra that the model can read."""
        return self.config.modalities

    def predict(self, sources: Mapping[str, Source], **reading: Mapping[str, Any]) -> Prediction:
        """Functional groups of a molecule from some of its spectra.

        Parameters
        ----------
        sources : modality -> a file, a typed list of peaks (`symspectra.readers.text.parse_peaks`), or a `Spectrum`
        reading : ``block``, ``x_unit`` and ``y_unit``, each a mapping from modality, for `symspectra.readers.read_one`

        Raises
        ------
        ReadError : a spectrum cannot be read or does not fit the model; one sentence.
        """
        if not sources:
            raise ReadError(f"no spectrum was given; expected at least one of {', '.join(self.modalities)}")
        for name in sources:
            if name not in self.modalities:
                raise ReadError(f"there is no modality {name!r}; {suggest(name, self.modalities)}")
        spectra = {}
        for name in sorted(sources, key=MODALITIES.index):
            options = {key: values[name] for key, values in reading.items() if values and name in values}
            spectra[name] = gather(sources[name], name, **options)
        return self.predict_prepared([spectra])[0]

    def predict_prepared(self, molecules: Sequence[Mapping[str, Prepared]]) -> list[Prediction]:
        """Functional groups of molecules whose spectra are already converted (`symspectra.conversion`)."""
        x, present = self._tensors(molecules)
        probability = self.probabilities(x, present)
        unlike = self._warnings(x.numpy(), present.numpy())
        predictions = []
        known_of = {key: self._known(key) for key in {subset_key(list(spectra)) for spectra in molecules}}
        for i, spectra in enumerate(molecules):
            known = known_of[subset_key(list(spectra))]
            groups = tuple(
                GroupPrediction(name, p, *about)
                for name, p, about in zip(NAMES, probability[i].tolist(), known, strict=True)
            )
            predictions.append(
                Prediction(groups, dict(spectra), (*_other_kinds(spectra), *self._beyond(spectra), *unlike[i]))
            )
        return predictions

    def probabilities(
        self, x: Float[torch.Tensor, "molecule modality 600"], present: Bool[torch.Tensor, "molecule modality"]
    ) -> Float[np.ndarray, "molecule 37"]:
        """Calibrated probabilities; each molecule's by its own subset of spectra."""
        from symspectra.training import predict_spectra

        p = predict_spectra(self.model, x, present, BATCH).double().numpy()
        subsets, which = np.unique(present.numpy(), axis=0, return_inverse=True)
        for k, subset in enumerate(subsets):
            rows = which.reshape(-1) == k
            scaling = Scaling(*self._subset(self._key(subset))["scaling"])
            p[rows] = scaling(p[rows])
        return p

    def gates(self, prediction: Prediction) -> dict[str, Float[np.ndarray, " L"]]:
        """The gate p of every token of every spectrum of a prediction (`symspectra.model.SymSpectra.gates`)."""
        gates = self.model.gates(*self._tensors([prediction.spectra]))[0].detach().numpy()
        return {name: gates[self.modalities.index(name)] for name in prediction.spectra}

    def _tensors(
        self, molecules: Sequence[Mapping[str, Prepared]]
    ) -> tuple[Float[torch.Tensor, "molecule modality 600"], Bool[torch.Tensor, "molecule modality"]]:
        """What the model reads, zeros where there is no spectrum, and where there is one."""
        x = torch.zeros(len(molecules), len(self.modalities), 600)
        present = torch.zeros(x.shape[:2], dtype=torch.bool)
        for i, spectra in enumerate(molecules):
            for name, prepared in spectra.items():
                k = self.modalities.index(name)
                x[i, k], present[i, k] = torch.from_numpy(prepared.vector), True
        return x, present

    def _beyond(self, names: Iterable[str]) -> list[str]:
        """A sentence for each kind of spectrum that the model reads much worse measured than simulated."""
        sentences = []
        for name in names:
            simulated, measured = self._subset(name)["micro_f1"], self.measured.get(name)
            if measured and measured["micro_f1"] < TRANSFERS * simulated:
                sentences.append(
                    f"measured {name} spectra are beyond this model, which learned from simulated ones: micro-F1 "
                    f"{measured['micro_f1']:.2f} on measured, {simulated:.2f} on simulated spectra"
                )
        return sentences

    def _key(self, present: Bool[np.ndarray, " modality"]) -> str:
        return subset_key([name for name, there in zip(self.modalities, present, strict=True) if there])

    def _subset(self, key: str) -> dict[str, Any]:
        return self.card["subsets"][key]

    def _known(self, key: str) -> list[tuple[float, float, float | None, str]]:
        """Threshold, prevalence, F1 and note of each group for a subset of the spectra."""
        subset, counts = self._subset(key), self.card["positives"]
        n = zip(counts["train"], counts["validation"], strict=True)
        rows = zip(subset["threshold"], n, subset["f1"], subset["informative"], strict=True)
        molecules = self.card["molecules"]["train"]
        return [(t, own[0] / molecules, f1, _note(*own, informative)) for t, own, f1, informative in rows]

    def _warnings(
        self, x: Float[np.ndarray, "molecule modality 600"], present: Bool[np.ndarray, "molecule modality"]
    ) -> list[tuple[str, ...]]:
        """A sentence for each spectrum that is unlike the training spectra."""
        warnings: list[list[str]] = [[] for _ in x]
        for k, name in enumerate(self.modalities):
            rows = np.flatnonzero(present[:, k])
            if len(rows) == 0:
                continue
            rank = self.likeness[name].rank(x[rows, k])
            for i, share in zip(rows, rank, strict=True):
                if share >= UNLIKE:
                    warnings[i].append(
                        f"the {name} spectrum is unlike the training spectra (further from them than "
                        f"{min(share, 0.999):.1%} of simulated spectra of unknown molecules): do not rely on it"
                    )
        return [tuple(sentences) for sentences in warnings]


def _other_kinds(spectra: Mapping[str, Prepared]) -> list[str]:
    """A sentence for each mass spectrum that its file calls something else than MS/MS."""
    sentences = []
    for name, prepared in spectra.items():
        meta = prepared.spectrum.meta
        if str(meta.get("ionisation") or "").upper().startswith("EI"):
            sentences.append(f"{name} is an electron ionisation spectrum; the model has learned MS/MS only")
        elif meta.get("ms_level") == 1:
            sentences.append(f"{name} is a spectrum of the intact ions (MS1); the model has learned MS/MS only")
    return sentences


def _note(training: int, validation: int, informative: bool) -> str:
    """Why the answer for a group is not to be relied on."""
    for name, count in (("training", training), ("validation", validation)):
        if count < FEW[name]:
            return f"cannot know: {count} {name} molecules"
    return "" if informative else "cannot know: not told apart by these spectra"


def gather(source: Source, modality: str, **reading: Any) -> Prepared:
    """One spectrum for the model from a file, a typed list of peaks, or a `Spectrum`."""
    if isinstance(source, Prepared):
        return source
    if not isinstance(source, Spectrum):
        source = spectrum_of(source, modality, **reading)
    return prepare_all([source], [modality])[0]


def spectrum_of(source: str | Path, modality: str, folder: Path = Path(), **reading: Any) -> Spectrum:
    """The spectrum of a file in ``folder``, or of a typed list of peaks where no file has that name."""
    from symspectra.readers.text import looks_like_peaks, parse_peaks

    if isinstance(source, str) and looks_like_peaks(source) and not _is_file(folder / source):
        return parse_peaks(source, modality)
    return read_one(folder / source, modality, **reading)


def _is_file(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # longer than a name can be
        return False


@lru_cache(maxsize=1)
def shipped() -> Predictor:
    """The predictor that comes with the package, read once."""
    return Predictor()


def predict(sources: Mapping[str, Source], **reading: Mapping[str, Any]) -> Prediction:
    """Functional groups of a molecule, by the shipped predictor; see `Predictor.predict`.

    >>> predict({"c13": "170.9, 60.4, 21.0, 14.2"}).table(0.5)  # doctest: +SKIP
    """
    return shipped().predict(sources, **reading)


def _fuse(model: SymSpectra) -> SymSpectra:
    """Fold the batch normalisation into the convolutions: the same function, a quarter faster."""
    encoder = model.encoder
    for i in (1, 2):
        convolution, norm = getattr(encoder, f"conv{i}"), getattr(encoder, f"norm{i}")
        setattr(encoder, f"conv{i}", torch.nn.utils.fusion.fuse_conv_bn_eval(convolution, norm))
        setattr(encoder, f"norm{i}", torch.nn.Identity())
    return model


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text())
        missing = {"modalities", "positives", "molecules", "subsets"} - set(card)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected a folder written by `symspectra calibrate`") from error
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if missing:
        raise DataError(f"{path}: {', '.join(sorted(missing))} missing; expected a file of `symspectra calibrate`")
    return card


def _read_likeness(path: Path, modalities: Sequence[str]) -> dict[str, Likeness]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
        names = ("mean", "precision", "distances")
        return {m: Likeness(*(arrays[f"{m}.{n}"].astype(np.float64) for n in names)) for m in modalities}
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
