"""A molecule, some of its spectra, and the groups that the model sees in them: a widget for the notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import ipywidgets as widgets
import torch

from symspectra.datasets.base import SpectraDataset
from symspectra.errors import ReadError
from symspectra.exhibits.drawing import model_axis
from symspectra.groups.table8 import NAMES, label
from symspectra.modalities import KINDS
from symspectra.predict.predictor import GroupPrediction, Prediction, Predictor, Source
from symspectra.spectra.conversion import Prepared
from symspectra.spectra.spectrum import Spectrum

TOP = 12  # groups shown
OWN = "only what is typed below"
PREDICTED, BELOW = "#0072B2", "#BBBBBB"


class Explorer(widgets.VBox):
    """Choose a molecule, tick its spectra or type others, and read the answer.

    Parameters
    ----------
    predictor : the model
    molecules : name -> its spectra by modality (files, lists of peaks, `Spectrum` or `Prepared`)
    structures : name -> SMILES, where known; groups in the structure are marked

    Attributes
    ----------
    molecule : the menu of molecules
    used, typed : check box and text field of each modality; a typed file or list of peaks replaces the molecule's own
    answer : the groups with their probabilities and thresholds, warnings, or the sentence of a reading error, as HTML
    """

    def __init__(
        self,
        predictor: Predictor,
        molecules: Mapping[str, Mapping[str, Source]],
        structures: Mapping[str, str],
    ):
        self._predictor, self._molecules, self._structures = predictor, {**molecules, OWN: {}}, structures
        self.molecule = widgets.Dropdown(options=list(self._molecules), description="molecule")
        wide = widgets.Layout(width="36em")
        self.used = {m: widgets.Checkbox(value=True, description=KINDS[m].label) for m in predictor.modalities}
        self.typed = {m: widgets.Text(continuous_update=False, layout=wide) for m in predictor.modalities}
        for box in self.used.values():
            box.indent, box.layout = False, widgets.Layout(width="8em")
            box.observe(self._answer, "value")
        for field in self.typed.values():
            field.observe(self._answer, "value")
        self.answer = widgets.HTML()
        self.molecule.observe(self._choose, "value")
        rows = [widgets.HBox([self.used[m], self.typed[m]]) for m in predictor.modalities]
        super().__init__([self.molecule, *rows, self.answer])
        self._choose()

    def sources(self) -> dict[str, Source]:
        """The spectra that are ticked: what is typed, else the molecule's own."""
        own = self._molecules[self.molecule.value]
        found = {m: field.value.strip() or own.get(m) for m, field in self.typed.items() if self.used[m].value}
        return {m: source for m, source in found.items() if source is not None}

    def _choose(self, change: object = None) -> None:
        """Show where the spectra of the molecule come from, and forget what was typed for the one before."""
        own = self._molecules[self.molecule.value]
        for m, field in self.typed.items():
            field.placeholder = _described(own.get(m))
            field.value = ""
        self._answer()

    def _answer(self, change: object = None) -> None:
        sources = self.sources()
        if not sources:
            self.answer.value = "<p>No spectrum is chosen.</p>"
            return
        try:
            prediction = self._predictor.predict(sources)
        except ReadError as error:
            self.answer.value = f"<p><b>Cannot be read:</b> {escape(str(error))}</p>"
            return
        typed = any(self.typed[m].value.strip() for m in sources)
        smiles = None if typed else self._structures.get(self.molecule.value)
        self.answer.value = answer_html(prediction, smiles)


def molecules_of(dataset: SpectraDataset, rows: Sequence[int]) -> dict[str, dict[str, Prepared]]:
    """Molecules of a data set with their spectra, by SMILES, for `Explorer` and `Predictor.predict`."""
    x, present = dataset.spectra(torch.tensor(rows))
    molecules: dict[str, dict[str, Prepared]] = {dataset.ids[row]: {} for row in rows}
    for i, k in present.nonzero().tolist():
        m, vector = dataset.modalities[k], x[i, k].numpy()
        y_unit = "absorbance" if m == "ir" else "intensity"
        spectrum = Spectrum(model_axis(m), vector, KINDS[m].unit, y_unit, m)
        molecules[dataset.ids[rows[i]]][m] = Prepared(m, vector, spectrum)
    return molecules


def answer_html(prediction: Prediction, smiles: str | None = None) -> str:
    """Warnings, and bars of the most probable groups with their thresholds; groups in the structure are marked."""
    held = None if smiles is None else dict(zip(NAMES, label([smiles])[0].tolist(), strict=True))
    head = "".join(f"<p><b>Take care:</b> {escape(sentence)}.</p>" for sentence in prediction.warnings)
    used = " ".join(f'<span style="color:{KINDS[m].colour}"><b>{KINDS[m].label}</b></span>' for m in prediction.spectra)
    bars = "".join(_bar(group, None if held is None else held[group.name]) for group in prediction.ranked()[:TOP])
    foot = "Blue: predicted. The black mark is the threshold of the group."
    if held is not None:
        foot += " \N{CHECK MARK}: in the structure."
    return f"{head}<p>Read from {used}</p><table>{bars}</table><p>{foot}</p>"


def _bar(group: GroupPrediction, held: bool | None) -> str:
    colour = PREDICTED if group.predicted else BELOW
    bar = f'<div style="background:{colour};width:{100 * group.probability:.1f}%;height:0.9em"></div>'
    tick = f"position:absolute;top:-0.1em;left:{100 * group.threshold:.1f}%;width:2px;height:1.1em;background:black"
    frame = f'<div style="position:relative;width:18em;background:#F2F2F2">{bar}<div style="{tick}"></div></div>'
    mark = "\N{CHECK MARK}" if held else ""
    cells = (escape(group.name), frame, f"{group.probability:.2f}", mark, escape(group.note))
    return "<tr>" + "".join(f'<td style="padding:0 0.5em">{cell}</td>' for cell in cells) + "</tr>"


def _described(source: Source | None) -> str:
    if source is None:
        return "no spectrum; type a file or, but for IR, a list of peaks"
    return Path(source).name if isinstance(source, Path) else source if isinstance(source, str) else "of the data set"
