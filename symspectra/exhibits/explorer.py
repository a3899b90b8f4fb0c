"""A molecule, some of its spectra, and the groups that the model sees in them: a widget for the notebook."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from io import BytesIO
from pathlib import Path

import ipywidgets as widgets
import torch

from symspectra.datasets.base import SpectraDataset
from symspectra.errors import ReadError
from symspectra.exhibits.drawing import model_axis
from symspectra.exhibits.prediction_drawing import steps_figure
from symspectra.groups.table8 import NAMES, label
from symspectra.modalities import KINDS
from symspectra.predict.predictor import GroupPrediction, Prediction, Predictor, Source
from symspectra.spectra.conversion import Prepared
from symspectra.spectra.readers import read_one
from symspectra.spectra.readers.paragraph import read_paragraph
from symspectra.spectra.spectrum import Spectrum

TOP = 12  # groups shown
OWN = "only what is typed below"
PREDICTED, BELOW = "#0072B2", "#BBBBBB"


class Explorer(widgets.VBox):
    """Choose a molecule, tick its spectra, type, paste or upload others, and read the answer under the spectra as read.

    Parameters
    ----------
    predictor : the model
    molecules : name -> its spectra by modality (files, lists of peaks, `Spectrum` or `Prepared`)
    structures : name -> SMILES, where known; groups in the structure are marked

    Attributes
    ----------
    molecule : the menu of molecules
    used, typed : check box and text field of each modality; a typed file or list of peaks replaces the molecule's own
    files, text : files of spectra that say their kind, and the paragraph of an experimental section; what is read of
        them replaces what is typed
    answer : spectra, groups with probabilities and thresholds, warnings, or the sentence of a reading error, as HTML
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
        self.files = widgets.FileUpload(
            multiple=True, description="files of spectra", layout=widgets.Layout(width="16em")
        )
        self.text = widgets.Textarea(continuous_update=False, layout=widgets.Layout(width="44em", height="4em"))
        self.text.placeholder = (
            "or paste the paragraph of an experimental section: 1H NMR ... 13C NMR ... IR ... HRMS ..."
        )
        for field in (self.files, self.text):
            field.observe(self._answer, "value")
        self.answer = widgets.HTML()
        self.molecule.observe(self._choose, "value")
        rows = [widgets.HBox([self.used[m], self.typed[m]]) for m in predictor.modalities]
        super().__init__([self.molecule, *rows, self.files, self.text, self.answer])
        self._choose()

    def sources(self) -> tuple[dict[str, Source], list[str]]:
        """The spectra that are ticked: pasted, uploaded or typed, else the molecule's own; and what was not used.

        Raises
        ------
        ReadError : a file or the text cannot be read, or a file does not say what kind of spectrum it is.
        """
        given, unused = read_paragraph(self.text.value) if self.text.value.strip() else ({}, [])
        with tempfile.TemporaryDirectory() as folder:
            for file in self.files.value:
                path = Path(folder) / Path(file["name"]).name
                path.write_bytes(file["content"])
                spectrum = read_one(path)
                if spectrum.modality is None:
                    raise ReadError(
                        f"{path.name}: does not say what kind of spectrum it is; type its path beside its kind"
                    )
                given[spectrum.modality] = spectrum
        own = self._molecules[self.molecule.value]
        found = {m: given.get(m) or field.value.strip() or own.get(m) for m, field in self.typed.items()}
        return {m: source for m, source in found.items() if source is not None and self.used[m].value}, unused

    def _choose(self, change: object = None) -> None:
        """Show where the spectra of the molecule come from; forget what was typed, pasted and uploaded for another."""
        own = self._molecules[self.molecule.value]
        for m, field in self.typed.items():
            field.placeholder = _described(own.get(m), m)
            field.value = ""
        self.files.value, self.text.value = (), ""
        self._answer()

    def _answer(self, change: object = None) -> None:
        try:
            sources, unused = self.sources()
            if not sources:
                self.answer.value = "<p>No spectrum is chosen.</p>"
                return
            prediction = self._predictor.predict(sources)
        except ReadError as error:
            self.answer.value = f"<p><b>Cannot be read:</b> {escape(str(error))}</p>"
            return
        own = any(self.typed[m].value.strip() for m in sources) or self.files.value or self.text.value.strip()
        smiles = None if own else self._structures.get(self.molecule.value)
        prediction = replace(prediction, warnings=(*unused, *prediction.warnings))
        self.answer.value = spectra_html(prediction) + answer_html(prediction, smiles)


def molecules_of(dataset: SpectraDataset, rows: Sequence[int]) -> dict[str, dict[str, Prepared]]:
    """Molecules of a data set with their spectra, by SMILES, for `Explorer` and `Predictor.predict`."""
    x, present = dataset.spectra(torch.tensor(rows))
    molecules: dict[str, dict[str, Prepared]] = {dataset.ids[row]: {} for row in rows}
    for i, k in present.nonzero().tolist():
        m, vector = dataset.modalities[k], x[i, k].numpy()
        if KINDS[m].spectrum:
            y_unit = "absorbance" if m == "ir" else "intensity"
            spectrum = Spectrum(model_axis(m), vector, KINDS[m].unit, y_unit, m)
            molecules[dataset.ids[rows[i]]][m] = Prepared(m, vector, spectrum)
    return molecules


def spectra_html(prediction: Prediction) -> str:
    """The spectra as they were read on the left, and as the model reads them, as a picture."""
    pairs = {m: (prepared.spectrum, prepared) for m, prepared in prediction.spectra.items() if KINDS[m].spectrum}
    if not pairs:
        return ""
    steps_figure(pairs).savefig(file := BytesIO(), format="png", dpi=110)
    return (
        f'<img alt="spectra" style="max-width:44em" src="data:image/png;base64,{b64encode(file.getvalue()).decode()}">'
    )


def answer_html(prediction: Prediction, smiles: str | None = None) -> str:
    """Warnings, and bars of the most probable groups with their thresholds; groups in the structure are marked."""
    held = None if smiles is None else dict(zip(NAMES, label([smiles])[0].tolist(), strict=True))
    head = "".join(f"<p><b>Take care:</b> {escape(sentence)}.</p>" for sentence in prediction.warnings)
    used = ", ".join(_named(m, prepared) for m, prepared in prediction.spectra.items())
    known = prediction.known.partition(": ")[2]  # before it stand the spectra once more
    bars = "".join(_bar(group, None if held is None else held[group.name]) for group in prediction.ranked()[:TOP])
    foot = "Blue: predicted. The black mark is the threshold of the group."
    if held is not None:
        foot += " \N{CHECK MARK}: in the structure."
    return f"{head}<p>Read from {used}{known and f': {escape(known)}'}.</p><table>{bars}</table><p>{foot}</p>"


def _named(kind: str, prepared: Prepared) -> str:
    """A kind of spectrum in its colour, and the file that it was read from; or the formula."""
    source = prepared.spectrum.meta.get("source")
    label = f'<span style="color:{KINDS[kind].colour}"><b>{KINDS[kind].label}</b></span>'
    return f"{label} ({escape(str(source))})" if source else label


def _bar(group: GroupPrediction, held: bool | None) -> str:
    colour = PREDICTED if group.predicted else BELOW
    bar = f'<div style="background:{colour};width:{100 * group.probability:.1f}%;height:0.9em"></div>'
    tick = f"position:absolute;top:-0.1em;left:{100 * group.threshold:.1f}%;width:2px;height:1.1em;background:black"
    frame = f'<div style="position:relative;width:18em;background:#F2F2F2">{bar}<div style="{tick}"></div></div>'
    mark = "\N{CHECK MARK}" if held else ""
    cells = (escape(group.name), frame, f"{group.probability:.2f}", mark, escape(group.note))
    return "<tr>" + "".join(f'<td style="padding:0 0.5em">{cell}</td>' for cell in cells) + "</tr>"


def _described(source: Source | None, kind: str) -> str:
    if source is None and not KINDS[kind].spectrum:
        return "not known; type it, such as C9H6O2"
    if source is None:
        return "nothing; type a file or a list of peaks"
    return Path(source).name if isinstance(source, Path) else source if isinstance(source, str) else "of the data set"
