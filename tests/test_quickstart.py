"""What the first notebook shows: the samples, the pictures of a prediction, the explorer."""

import re
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from matplotlib.collections import QuadMesh
from write_samples import write_samples

from symspectra.config import Config
from symspectra.datasets.base import OPEN_DIRECTORY, load_dataset, split_of
from symspectra.exhibits.drawing import model_axis
from symspectra.exhibits.explorer import OWN, TOP, Explorer, answer_html, molecules_of
from symspectra.exhibits.prediction_drawing import evidence_figure, reliability_figure, steps_figure, subset_figure
from symspectra.groups.table8 import NAMES
from symspectra.modalities import MODALITIES
from symspectra.predict.calibration import Bin
from symspectra.predict.predictor import GroupPrediction, Prediction, shipped
from symspectra.predict.samples import FOLDER, outcome, samples
from symspectra.spectra.lines import read_lines
from symspectra.spectra.readers import read_one
from symspectra.spectra.readers.peak_lists import parse_peaks

ETHYL_ACETATE = {
    "c13": "171.36, 60.49, 21.04, 14.19",
    "h1": "4.12 (q, J = 7 Hz, 2H), 2.05 (s, 3H), 1.26 (t, J = 7 Hz, 3H)",
}
STRIDE = 16


def made_up(probabilities, spectra=None, warnings=()):
    """A prediction with the probabilities given; all others are 0."""
    groups = (GroupPrediction(name, probabilities.get(name, 0.0), 0.5, 0.1, 0.9, "") for name in NAMES)
    return Prediction(tuple(groups), spectra or {}, warnings)


# ---- samples


def test_the_samples_are_written_again_as_they_are(tmp_path):
    """Numbers may differ by one in the last digit from one processor to another."""
    write_samples(tmp_path)
    there = {path.name for path in FOLDER.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} | {"README.md", "measured"} == there
    number = re.compile(r"-?\d+(?:\.\d+)?")
    for path in tmp_path.iterdir():
        new, old = path.read_text(), (FOLDER / path.name).read_text()
        if new != old:
            assert number.sub("#", new) == number.sub("#", old), path.name
            digits = [[int(text.replace(".", "")) for text in number.findall(content)] for content in (new, old)]
            assert np.abs(np.subtract(*digits)).max() <= 1, path.name
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 300_000


def test_the_samples_are_of_the_test_split():
    lines = read_lines(OPEN_DIRECTORY)
    for sample in samples():
        row = lines.smiles.index(sample.smiles)
        assert split_of(lines.inchikey[row]) == "test" and 3 <= int(lines.y[row].sum()) <= 6


def test_every_sample_is_read_as_what_it_is():
    formats = {path.suffix for sample in samples() for path in sample.files.values()}
    assert formats == {".jdx", ".csv", ".txt", ".mgf", ".msp"} and len(samples()) == 3
    for sample in samples():
        for modality, path in sample.files.items():
            spectrum = read_one(path, modality)
            assert spectrum.modality == modality
            if modality == "ir":
                assert spectrum.y_unit == "percent transmittance" and set(spectrum.x[[0, -1]]) == {400, 4000}
            if modality == "h1":
                assert spectrum.x.min() >= 0 and spectrum.x.max() == 10 and not spectrum.peaks


def test_outcome_of_a_prediction_with_a_known_structure():
    prediction = made_up({"Ester": 0.9, "Alkane": 0.95, "Ketone": 0.6, "Ether": 0.4})
    assert outcome(prediction, "CCOC(C)=O") == (["Alkane", "Ester"], ["Ether"], ["Ketone"])


# ---- pictures


@pytest.fixture(scope="module")
def measured():
    """Ethyl acetate's typed lists as read, and as a prediction."""
    from symspectra.spectra.conversion import prepare

    raw = {m: parse_peaks(text, m) for m, text in ETHYL_ACETATE.items()}
    raw["ir"] = read_one(samples()[0].files["ir"], "ir")
    prepared = {m: prepare(spectrum, m) for m, spectrum in raw.items()}
    return raw, made_up({"Ester": 0.9, "Alkane": 0.95, "Ketone": 0.6}, prepared)


def test_steps_show_each_spectrum_twice_as_chemists_draw_it(measured):
    raw, prediction = measured
    figure = steps_figure({m: (raw[m], prediction.spectra[m]) for m in raw})
    assert len(figure.axes) == 6
    for left, right in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        assert left.get_xlim()[0] > left.get_xlim()[1] and right.get_xlim()[0] > right.get_xlim()[1]
    infrared = figure.axes[4]
    assert infrared.get_xlim() == (4000, 400) and infrared.get_ylabel() == "transmittance, %"
    assert len(figure.axes[0].collections[0].get_segments()) == 4  # sticks: it was a list of peaks


def test_evidence_shades_each_token_in_its_place(measured):
    _, prediction = measured
    gates = {m: np.linspace(0, 1, 37) for m in prediction.spectra}
    figure = evidence_figure(prediction, gates, STRIDE, "CCOC(C)=O")
    titles = [ax.get_title() or ax.get_title("left") for ax in figure.axes if ax.images]
    assert titles == ["Alkane, p = 0.95", "Ester, p = 0.90"]  # no ketone is in the structure
    assert not any(ax.images for ax in evidence_figure(prediction, gates, STRIDE).axes)  # without a structure
    shaded = [ax for ax in figure.axes if any(isinstance(c, QuadMesh) for c in ax.collections) and ax.lines]
    assert len(shaded) == 3
    for ax, modality in zip(shaded, gates, strict=True):
        mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
        edges = np.asarray(mesh.get_coordinates())[0, :, 0]
        x = model_axis(modality)
        assert edges[0] == x[0] and len(edges) == 38
        assert edges[-1] == pytest.approx(x[0] + (x[-1] - x[0]) * 37 * STRIDE / 600)
        assert np.allclose(mesh.get_array().ravel(), gates[modality])


def test_reliability_draws_its_bins():
    before, after = [Bin(0.02, 0.01, 900), Bin(0.9, 0.5, 100)], [Bin(0.01, 0.01, 900), Bin(0.5, 0.5, 100)]
    figure = reliability_figure(before, after)
    left, right = figure.axes[:2]
    assert left.lines[1].get_xydata().tolist() == [[0.02, 0.01], [0.9, 0.5]]
    assert "0.0490" in left.texts[0].get_text() and "0.0000" in right.texts[0].get_text()
    assert [bar.get_height() for bar in figure.axes[2].patches] == [900, 100]


SUBSETS = {"ir": (0.7, 0.4), "c13": (0.6, 0.5), "ir+c13": (0.8, 0.6)}
SUBSETS = {key: {"micro_f1": micro, "macro_f1": macro} for key, (micro, macro) in SUBSETS.items()}
CARD = {"modalities": ["ir", "c13"], "subsets": SUBSETS}


def test_subsets_come_best_first():
    figure = subset_figure(CARD)
    top, below = figure.axes
    assert top.collections[0].get_offsets()[:, 1].tolist() == [0.8, 0.7, 0.6, 0.6, 0.4, 0.5]
    there = below.collections[0].get_array().reshape(2, 3)  # a row per spectrum, a column per subset
    assert there.tolist() == [[True, True, False], [True, False, True]]


# ---- explorer


@pytest.fixture
def widget():
    return Explorer(shipped(), {s.name: s.files for s in samples()}, {s.name: s.smiles for s in samples()})


def bars(html):
    return dict(re.findall(r"<tr><td[^>]*>([^<]*)</td>.*?<td[^>]*>(\d\.\d\d)</td>", html))


def test_the_explorer_answers_at_once_and_marks_the_structure(widget):
    assert len(bars(widget.answer.value)) == TOP
    assert widget.answer.value.count("\N{CHECK MARK}") == 6 + 1  # propyl gallate has six groups; once explained
    assert widget.typed["ir"].placeholder == "propyl_gallate_ir.jdx"


def test_ticking_a_spectrum_off_changes_the_answer(widget):
    before = widget.answer.value
    widget.used["ir"].value = False
    assert "ir" not in widget.sources()[0] and bars(widget.answer.value) != bars(before)
    widget.used["ir"].value = True
    assert widget.answer.value == before
    for box in widget.used.values():
        box.value = False
    assert "No spectrum is chosen" in widget.answer.value


def test_typed_peaks_are_read_as_the_predictor_reads_them(widget):
    widget.molecule.value = OWN
    assert "No spectrum is chosen" in widget.answer.value
    widget.typed["c13"].value, widget.typed["h1"].value = ETHYL_ACETATE["c13"], ETHYL_ACETATE["h1"]
    expected = shipped().predict(ETHYL_ACETATE)
    assert widget.answer.value.endswith(answer_html(expected)) and "data:image/png" in widget.answer.value
    widget.molecule.value = "perillaldehyde"
    assert widget.typed["c13"].value == "" and "\N{CHECK MARK}" in widget.answer.value


def test_a_paragraph_and_files_are_read(widget):
    widget.molecule.value = OWN
    widget.text.value = f"mp -84 °C; 13C NMR {ETHYL_ACETATE['c13']}; HRMS (EI) calcd for C4H8O2 (M+) 88.0519"
    answer = widget.answer.value
    assert "HRMS" not in answer and "mp -84 °C" in answer and "</span> (C4H8O2)" in answer and len(bars(answer)) == TOP
    widget.text.value = "a white solid"
    assert "no spectrum can be read from the text" in widget.answer.value
    widget.text.value = ""
    file = samples()[0].files["ir"]
    upload = {"name": file.name, "type": "", "size": 1, "content": file.read_bytes()}
    upload["last_modified"] = datetime.now(UTC)
    widget.files.value = (upload,)
    assert list(widget.sources()[0]) == ["ir"] and len(bars(widget.answer.value)) == TOP
    widget.files.value = (upload | {"name": "x.csv", "content": b"1,2\n2,3\n3,4\n"},)
    assert "x.csv" in widget.answer.value and "Cannot be read" in widget.answer.value
    widget.files.value, widget.text.value = (upload,), "13C NMR 170.9, 60.4"
    assert f"({file.name}), " in widget.answer.value
    widget.molecule.value = "perillaldehyde"  # another molecule: what was given of the one before is not mixed in
    assert widget.files.value == () and widget.text.value == "" and file.name not in widget.answer.value


def test_an_error_is_one_sentence_and_cannot_inject_markup(widget):
    widget.typed["c13"].value = "<script>alert(1)</script>.csv"
    assert widget.answer.value.startswith("<p><b>Cannot be read:</b>") and "<script" not in widget.answer.value
    widget.typed["c13"].value = "170.9, 6000"
    assert "6000" in widget.answer.value and "ppm" in widget.answer.value


def test_bars_say_threshold_note_and_warning():
    groups = [GroupPrediction(name, 0.0, 0.5, 0.1, None, "") for name in NAMES]
    groups[3] = GroupPrediction("Aldehyde", 0.75, 0.4, 0.1, 0.9, "cannot know: <few>")
    html = answer_html(Prediction(tuple(groups), {}, ("the ir spectrum is unlike",)), "CC=O")
    assert "width:75.0%" in html and "left:40.0%" in html and "cannot know: &lt;few&gt;" in html
    assert "<b>Take care:</b> the ir spectrum is unlike." in html and html.index("Aldehyde") < html.index("Alkane")


def test_molecules_of_a_data_set_can_be_explored():
    data = load_dataset(Config(modalities=MODALITIES))
    rows = data.rows("test")[:2].tolist()
    molecules = molecules_of(data, rows)
    assert list(molecules) == [data.ids[row] for row in rows]
    widget = Explorer(shipped(), molecules, {smiles: smiles for smiles in molecules})
    x, present = data.spectra(data.rows("test")[:1])
    nothing = torch.zeros(1, 1, 600), torch.zeros(1, 1, dtype=torch.bool)  # of the formula
    p = shipped().probabilities(*(torch.cat(pair, dim=1) for pair in zip((x, present), nothing, strict=True)))[0]
    best = int(p.argmax())
    assert float(bars(widget.answer.value)[NAMES[best]]) == pytest.approx(p[best], abs=0.0051)
