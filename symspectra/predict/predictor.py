"""From a chemist's files to functional groups with calibrated probabilities, from any subset of the spectra.

A predictor is a folder: ``model.safetensors`` (the weights), ``predictor.json`` (calibration, threshold and test
scores of every subset of the spectra) and ``likeness.safetensors`` (what training spectra look like).
`symspectra.predict.build` writes it, and its checksums.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations, compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from symspectra.config import Config
from symspectra.errors import DataError, ReadError, suggest
from symspectra.files import check
from symspectra.groups.table8 import NAMES, possible
from symspectra.modalities import KINDS
from symspectra.predict.calibration import Scaling
from symspectra.predict.likeness import UNLIKE, Likeness
from symspectra.predict.prediction import GroupPrediction, Prediction
from symspectra.predict.tables import spectrum_of
from symspectra.spectra.conversion import Prepared, prepare
from symspectra.spectra.formula import ELEMENTS
from symspectra.spectra.readers.paragraph import read_paragraph
from symspectra.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from symspectra.models.symspectra import SymSpectra

SHIPPED = Path(__file__).parent.parent / "weights" / "predictor"
FEW = {"training": 30, "validation": 5}  # molecules; with fewer, a group is hardly learned, or nothing is known of it
POOR = 0.6  # F1 that an answer can expect; with less, there is a warning
BATCH = 768  # spectra; larger batches leave the processor's caches
MANY = 64  # molecules with the same spectra, for which a model of these spectra alone is worth its while

Source = str | Path | Spectrum | Prepared


def subset_key(modalities: Sequence[str]) -> str:
    """Name of a subset of the modalities in ``predictor.json``: ``"ir+c13"``."""
    return "+".join(sorted(modalities, key=tuple(KINDS).index))


def subsets(modalities: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All subsets that are not empty, small ones first."""
    for size in range(1, len(modalities) + 1):
        yield from combinations(modalities, size)


class Predictor:
    """A trained model with its calibration.

    Parameters
    ----------
    folder : written by `symspectra.predict.build.build`; the shipped one by default

    Raises
    ------
    DataError : a file of the folder is missing or damaged; the message names it.
    """

    def __init__(self, folder: str | Path | None = None):
        from symspectra.models.registry import labels_of, load_model
        from symspectra.models.restriction import quick

        self.folder = folder = Path(folder or SHIPPED)
        check(folder, "make it again with `symspectra calibrate`, or install the package again")
        self._trained, config = load_model(folder / "model.safetensors")
        self.config: Config = config
        self.labels = labels_of(config)
        self.card = _read_card(folder / "predictor.json", config.data.modalities, len(self.labels))
        self.model: SymSpectra = quick(self._trained, config.data.modalities)
        self.likeness = _read_likeness(folder / "likeness.safetensors", config.data.modalities)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The spectra that the model can read."""
        return self.config.data.modalities

    def predict(self, sources: Mapping[str, Source]) -> Prediction:
        """Functional groups of a molecule from some of its spectra.

        Parameters
        ----------
        sources : modality -> a file, a typed list of peaks (`parse_peaks`), or a `Spectrum`, such as `read_one` gives
            of a file that does not say its units

        Raises
        ------
        ReadError : a spectrum cannot be read or does not fit the model; one sentence.
        """
        self.check_kinds(sources)
        spectra = {}
        for name in sorted(sources, key=tuple(KINDS).index):
            source = sources[name]
            if not isinstance(source, Spectrum | Prepared):
                source = spectrum_of(source, name)
            spectra[name] = source if isinstance(source, Prepared) else prepare(source, name)
        return self.predict_prepared([spectra])[0]

    def predict_text(self, text: str) -> Prediction:
        """Functional groups of the compound of a paragraph of an experimental section (`read_paragraph`).

        Raises
        ------
        ReadError : no part of it can be read, or a spectrum does not fit the model.
        """
        spectra, unused = read_paragraph(text)
        prediction = self.predict(spectra)
        return replace(prediction, warnings=(*unused, *prediction.warnings))

    def check_kinds(self, names: Collection[str]) -> None:
        """`ReadError` where no spectrum is named, or one that the model cannot read."""
        if not names:
            raise ReadError(f"no spectrum was given; expected at least one of {', '.join(self.modalities)}")
        for name in names:
            if name not in KINDS:
                raise ReadError(f"there is no modality {name!r}; {suggest(name, self.modalities)}")
            if name not in self.modalities:
                known = ", ".join(self.modalities)
                raise ReadError(f"the predictor has not learned {KINDS[name].said} ({name}); it reads {known}")

    def predict_prepared(self, molecules: Sequence[Mapping[str, Prepared]]) -> list[Prediction]:
        """Functional groups of molecules whose spectra are already converted (`symspectra.spectra.conversion`)."""
        probability, warnings = self.answers(molecules)
        predictions = []
        for spectra, own, sentences in zip(molecules, probability.tolist(), warnings, strict=True):
            about = zip(self.labels, own, self._known(spectra), strict=True)
            groups = tuple(GroupPrediction(name, p, self.threshold(spectra), *known) for name, p, known in about)
            predictions.append(Prediction(groups, dict(spectra), sentences, self.known(spectra)))
        return predictions

    def answers(
        self, molecules: Sequence[Mapping[str, Prepared]]
    ) -> tuple[Float[np.ndarray, "molecule label"], list[tuple[str, ...]]]:
        """Calibrated probabilities of each molecule, and its warnings: what `predict_prepared` is made of."""
        x, present = self.tensors(molecules)
        p = self.probabilities(x, present)
        unlike = self._unlike(x.numpy(), present.numpy())
        warnings = []
        for spectra, own, sentences in zip(molecules, p, unlike, strict=True):
            contradictions = []
            if "formula" in spectra:
                atoms = dict(zip(ELEMENTS, spectra["formula"].spectrum.y, strict=True))
                if self.labels == NAMES:
                    own[~possible(atoms)] = 0.0
                contradictions = _contradictions(spectra, atoms)
            poor = self._poor(own, spectra)
            warnings.append((*_other_kinds(spectra), *contradictions, *sentences, *poor))
        return p, warnings

    def known(self, modalities: Sequence[str]) -> str:
        """How well these spectra are read, in a sentence, measured before simulated ones."""
        subset = self._subset(modalities)
        alone = f", as of {subset['as']} alone: no molecule with all of them was at hand" if "as" in subset else ""
        return (
            f"from {', '.join(modalities)}: micro-F1 {subset['micro_f1']:.2f} on {subset['tested']} molecules with "
            f"{subset['spectra']} spectra{alone} (naming the commonest groups for all: {subset['constant']:.2f})"
        )

    def _poor(self, p: Float[np.ndarray, " label"], modalities: Sequence[str]) -> list[str]:
        """A sentence where the answer cannot be good, by its own probabilities or by what is known of such spectra."""
        subset, named = self._subset(modalities), p >= self.threshold(modalities)
        expected = 2 * p[named].sum() / max(named.sum() + p.sum(), 1e-9)  # F1, were the probabilities exact
        if subset["micro_f1"] < subset["constant"] + 0.03:
            return [f"these spectra tell this model hardly anything: {self.known(modalities)}"]
        if expected < POOR:
            return [f"the evidence is weak: an F1 of about {expected:.2f} can be expected of this answer"]
        return []

    def threshold(self, modalities: Sequence[str]) -> float:
        """From which probability a group counts as predicted, with these spectra: the best micro-F1 on validation."""
        return self._subset(modalities)["threshold"]

    def probabilities(
        self, x: Float[torch.Tensor, "molecule modality 600"], present: Bool[torch.Tensor, "molecule modality"]
    ) -> Float[np.ndarray, "molecule label"]:
        """Calibrated probabilities; each molecule's by its own subset of spectra.

        Raises
        ------
        ReadError : a molecule has no spectrum.
        """
        subsets, which = np.unique(present.numpy(), axis=0, return_inverse=True)
        rows_of = {
            tuple(compress(self.modalities, s)): np.flatnonzero(which.reshape(-1) == k) for k, s in enumerate(subsets)
        }
        if () in rows_of:
            raise ReadError(f"molecule {rows_of[()][0] + 1} has no spectrum; expected at least one")
        p = np.empty((len(x), len(self.labels)))
        few = [rows for rows in rows_of.values() if len(rows) < MANY]
        if few:
            together = np.concatenate(few)
            p[together] = self._model_answers(self.modalities, x[together], present[together])
        for names, rows in rows_of.items():
            if len(rows) >= MANY:
                p[rows] = self._model_answers(names, x[rows], present[rows])
            p[rows] = Scaling(*self._subset(names)["scaling"])(p[rows])
        return p

    def _model_answers(
        self,
        names: tuple[str, ...],
        x: Float[torch.Tensor, "molecule modality 600"],
        present: Bool[torch.Tensor, "molecule modality"],
    ) -> Float[np.ndarray, "molecule label"]:
        """What a model of the named spectra alone says of molecules that have no others."""
        from symspectra.models.base import probabilities
        from symspectra.models.restriction import quick

        kept = [self.modalities.index(name) for name in names]
        batch = BATCH // len(names)
        return probabilities(quick(self._trained, names), x[:, kept], present[:, kept], batch).numpy()

    def gates(self, prediction: Prediction) -> dict[str, Float[np.ndarray, " L"]]:
        """The gate p of every token of every spectrum of a prediction (`SymSpectra.gates`)."""
        gates = self.model.gates(*self.tensors([prediction.spectra]))[0].detach().numpy()
        return {name: gates[self.modalities.index(name)] for name in prediction.spectra if KINDS[name].spectrum}

    def tensors(
        self, molecules: Sequence[Mapping[str, Prepared]]
    ) -> tuple[Float[torch.Tensor, "molecule modality 600"], Bool[torch.Tensor, "molecule modality"]]:
        """What the model reads, zeros where there is no spectrum, and where there is one."""
        x = np.zeros((len(molecules), len(self.modalities), 600), dtype=np.float32)
        present = np.zeros(x.shape[:2], dtype=bool)
        for i, spectra in enumerate(molecules):
            for name, prepared in spectra.items():
                k = self.modalities.index(name)
                x[i, k], present[i, k] = prepared.vector, True
        return torch.from_numpy(x), torch.from_numpy(present)

    def _subset(self, modalities: Sequence[str]) -> dict[str, Any]:
        return self.card["subsets"][subset_key(modalities)]

    def _known(self, modalities: Sequence[str]) -> list[tuple[float, float | None, str]]:
        """Prevalence, F1 and note of each group for a subset of the spectra."""
        subset, counts = self._subset(modalities), self.card["positives"]
        n = zip(counts["train"], counts["validation"], strict=True)
        rows = zip(n, subset["f1"], subset["informative"], strict=True)
        molecules = self.card["molecules"]["train"]
        return [(own[0] / molecules, f1, _note(*own, informative)) for own, f1, informative in rows]

    def _unlike(
        self, x: Float[np.ndarray, "molecule modality 600"], present: Bool[np.ndarray, "molecule modality"]
    ) -> list[list[str]]:
        """A sentence for each spectrum that is unlike the training spectra."""
        warnings: list[list[str]] = [[] for _ in x]
        for name, likeness in self.likeness.items():
            k = self.modalities.index(name)
            rows = np.flatnonzero(present[:, k])
            for i, share in zip(rows, likeness.rank(x[rows, k]), strict=True):
                if share >= UNLIKE:
                    warnings[i].append(
                        f"the {name} spectrum is unlike the training spectra (further from them than "
                        f"{min(share, 0.999):.1%} of the spectra of unknown molecules): do not rely on it"
                    )
        return warnings


def _other_kinds(spectra: Mapping[str, Prepared]) -> list[str]:
    """A sentence for each mass spectrum that its file calls something else than MS/MS."""
    kinds = {}
    for name, prepared in spectra.items():
        meta = prepared.spectrum.meta
        if meta.get("ms_level") == 1:
            kinds[name] = "a spectrum of the intact ions (MS1)"
        elif "above_precursor" in meta:
            at, above = meta["precursor_mz"], meta["above_precursor"]
            kinds[name] = f"no spectrum of its precursor, m/z {at:g}, above which m/z {above:g} lies"
    return [f"{name} is {kind}; the model has learned MS/MS only" for name, kind in kinds.items()]


def _contradictions(spectra: Mapping[str, Prepared], atoms: Mapping[str, float]) -> list[str]:
    """A sentence where a list says of more carbon or hydrogen atoms than the formula has."""
    found = []
    for name, element, word in (("c13", "C", "carbon"), ("h1", "H", "hydrogen")):
        if name in spectra and (s := spectra[name].spectrum).peaks and (listed := round(s.y.sum())) > atoms[element]:
            formula = spectra["formula"].spectrum.meta["source"]
            found.append(f"the {name} list has {listed} {word} atoms, the formula {formula} {atoms[element]:g}")
    return found


def _note(training: int, validation: int, informative: bool) -> str:
    """Why the answer for a group is not to be relied on."""
    for name, count in (("training", training), ("validation", validation)):
        if count < FEW[name]:
            return f"cannot know: {count} {name} molecules"
    return "" if informative else "cannot know: not told apart by these spectra"


@lru_cache(maxsize=1)
def shipped() -> Predictor:
    """The predictor that comes with the package, read once."""
    return Predictor()


def predict(sources: Mapping[str, Source]) -> Prediction:
    """Functional groups of a molecule, by the shipped predictor; see `Predictor.predict`.

    >>> predict({"c13": "170.9, 60.4, 21.0, 14.2"}).table(0.5)  # doctest: +SKIP
    """
    return shipped().predict(sources)


def _read_card(path: Path, modalities: Sequence[str], labels: int) -> dict[str, Any]:
    """What `build` wrote; of an older version it may lack something."""
    try:
        card = json.loads(path.read_text())
        int(card["molecules"]["train"])
        lists = {f"positives.{split}": card["positives"][split] for split in ("train", "validation")}
        for spectra in map(subset_key, subsets(modalities)):
            subset = card["subsets"][spectra]
            lists |= {f"{spectra}.{key}": subset[key] for key in ("informative", "f1")}
            Scaling(*map(float, subset["scaling"]))
            [float(subset[key]) for key in ("threshold", "micro_f1", "constant")]
            int(subset["tested"]), str(subset["spectra"])
        if wrong := [name for name, values in lists.items() if len(values) != labels]:
            raise ValueError(f"{wrong[0]} has {len(lists[wrong[0]])} values; expected {labels}, one per group")
    except (OSError, LookupError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error!r}); make it again with `symspectra calibrate`") from error
    return card


def _read_likeness(path: Path, modalities: Sequence[str]) -> dict[str, Likeness]:
    from safetensors.numpy import load_file

    arrays, names = load_file(path), ("mean", "precision", "distances")
    spectra = [m for m in modalities if KINDS[m].spectrum]
    return {m: Likeness(*(arrays[f"{m}.{n}"].astype(np.float64) for n in names)) for m in spectra}
