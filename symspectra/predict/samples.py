"""Three known molecules with some of their simulated spectra, as files of the kinds that chemists have.

``python -m symspectra.predict.samples`` writes them anew into ``symspectra/data/samples``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from rdkit import Chem
from rdkit.Chem.Descriptors import ExactMolWt

from symspectra.groups.table8 import NAMES, label
from symspectra.modalities import MODALITIES
from symspectra.spectra.lines import LineTable
from symspectra.spectra.preprocessing import AXES
from symspectra.spectra.rendering import Nuisance, render_axis, uniform

if TYPE_CHECKING:
    from symspectra.predict.predictor import Prediction

FOLDER = Path(__file__).parent.parent / "data" / "samples"
PROTON = 1.007276  # mass in m/z units
NMR_RANGE = {"c13": (200.0, 0.0), "h1": (10.0, 0.0)}  # ppm
H1_POINTS = 5000  # of the whole axis, 10 to -2 ppm
NOISE = {"ir": 0.005, "c13": 0.003, "h1": 0.003}  # half-range of the noise, relative to the strongest point

#: Name -> SMILES, and the ending of the file of each spectrum.
SAMPLES: dict[str, tuple[str, dict[str, str]]] = {
    "propyl gallate": ("CCCOC(=O)c1cc(O)c(O)c(O)c1", {"ir": "jdx", "c13": "csv", "msms_neg": "msp"}),
    "perillaldehyde": ("C=C(C)C1CC=C(C=O)CC1", {"ir": "jdx", "c13": "txt", "h1": "txt", "msms_pos": "mgf"}),
    "homophenylalanine": ("NC(CCc1ccccc1)C(=O)O", {"h1": "txt", "msms_pos": "mgf", "msms_neg": "csv"}),
}

README = """# Samples

Three molecules with some of their spectra, to try `symspectra predict`, the first notebook and your own scripts on.

| molecule | what it is | spectra |
| --- | --- | --- |
| propyl gallate | antioxidant in food, E 310 | IR, 13C (a curve), negative MS/MS |
| perillaldehyde | aroma of perilla (shiso) | IR, 13C (a list of peaks), 1H, positive MS/MS |
| homophenylalanine | amino acid in ACE inhibitors | 1H, positive and negative MS/MS |

The spectra are not measured. They are simulated, from the same line lists as the data set `open`: IR, 1H and the curve
of 13C with the disturbances that the model is tested with (shifts, couplings, widths) and some noise; lists of peaks as
computed. All three molecules belong to the test split, so the model was not trained on them. They were chosen because
they are well known and differ, not for how well the model does.

`samples.csv` is a table for `symspectra predict --batch`; `structures.csv` has the structures as SMILES.
`python -m symspectra.predict.samples` writes all of it anew. Licence: MIT, as the package.
"""


class Outcome(NamedTuple):
    """Groups of a known structure that were found and missed, and groups predicted that it does not have."""

    found: list[str]
    missed: list[str]
    wrong: list[str]


class Sample(NamedTuple):
    """A molecule and the files of its spectra, by modality."""

    name: str
    smiles: str
    files: dict[str, Path]


def samples(folder: str | Path = FOLDER) -> list[Sample]:
    """The molecules that come with the package."""
    return [
        Sample(name, smiles, {m: Path(folder) / _file_name(name, m, ending) for m, ending in endings.items()})
        for name, (smiles, endings) in SAMPLES.items()
    ]


def outcome(prediction: Prediction, smiles: str) -> Outcome:
    """A prediction beside the groups of the known structure, each list in the order of probability."""
    held = dict(zip(NAMES, label([smiles])[0].tolist(), strict=True))
    ranked = sorted(prediction.groups, key=lambda group: -group.probability)
    return Outcome(
        found=[g.name for g in ranked if g.predicted and held[g.name]],
        missed=[g.name for g in ranked if held[g.name] and not g.predicted],
        wrong=[g.name for g in ranked if g.predicted and not held[g.name]],
    )


def write_samples(folder: str | Path = FOLDER) -> None:
    """Write the files of all samples, the two tables and the README."""
    from symspectra.datasets.base import OPEN_DIRECTORY
    from symspectra.spectra.lines import read_lines

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = read_lines(OPEN_DIRECTORY)
    for sample in samples(folder):
        row = lines.smiles.index(sample.smiles)
        for modality, path in sample.files.items():
            path.write_text(_WRITE[path.suffix](sample, modality, lines, row))
    _write_tables(folder)
    (folder / "README.md").write_text(README)


def _file_name(name: str, modality: str, ending: str) -> str:
    return f"{name.replace(' ', '_')}_{modality}.{ending}"


def _write_tables(folder: Path) -> None:
    rows = samples(folder)
    files = [[s.name, *(s.files[m].name if m in s.files else "" for m in MODALITIES)] for s in rows]
    for name, header, content in (
        ("samples", ("name", *MODALITIES), files),
        ("structures", ("name", "smiles"), [[s.name, s.smiles] for s in rows]),
    ):
        with open(folder / f"{name}.csv", "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *content])


def _curve(lines: LineTable, row: int, modality: str) -> Float[np.ndarray, " points"]:
    """A spectrum on its standard axis (1H: with fewer points), disturbed, with noise, the strongest point about 1."""
    points = H1_POINTS if modality == "h1" else None
    y = render_axis(lines, torch.tensor([row]), modality, Nuisance(), points=points)[0]
    noise = 2 * uniform(lines.seed[row].expand(len(y)), torch.arange(len(y)), "baseline") - 1
    return (y / y.max() + NOISE[modality] * noise).numpy()


def _jcamp(sample: Sample, modality: str, lines: LineTable, row: int) -> str:
    """Infrared as percent transmittance from 4000 to 400 cm-1."""
    x = AXES["ir"][::-1]
    y = np.rint(1e4 * 10 ** -_curve(lines, row, "ir")[::-1]).astype(int)  # in 0.01 %
    factor = (x[-1] - x[0]) / (len(x) - 1)
    labels = {
        "TITLE": f"{sample.name} (simulated)",
        "JCAMP-DX": "4.24",
        "DATA TYPE": "INFRARED SPECTRUM",
        "ORIGIN": "SymSpectra, data set open",
        "OWNER": "The SymSpectra developers, MIT licence",
        "XUNITS": "1/CM",
        "YUNITS": "PERCENT TRANSMITTANCE",
        "XFACTOR": "1.0",
        "YFACTOR": "0.01",
        "FIRSTX": f"{x[0]:.4f}",
        "LASTX": f"{x[-1]:.4f}",
        "DELTAX": f"{factor:.8f}",
        "NPOINTS": f"{len(x)}",
        "FIRSTY": f"{y[0] / 100:.2f}",
        "MAXY": f"{y.max() / 100:.2f}",
        "MINY": f"{y.min() / 100:.2f}",
        "XYDATA": "(X++(Y..Y))",
    }
    head = [f"##{label}={value}" for label, value in labels.items()]
    starts = range(0, len(x), 10)
    body = [f"{x[i]:.4f} " + " ".join(str(value) for value in y[i : i + 10]) for i in starts]
    return "\n".join([*head, *body, "##END=", ""])


def _peaks(lines: LineTable, row: int, modality: str) -> list[tuple[float, float]]:
    columns, _, _ = lines.spectra[modality].select(torch.tensor([row]))
    names = ("ppm", "area") if modality == "c13" else ("mz", "intensity")
    return sorted(zip(*(columns[name].tolist() for name in names), strict=True))


def _columns(sample: Sample, modality: str, lines: LineTable, row: int, separator: str) -> str:
    """Two columns with a header: peaks of 13C (.txt) and MS/MS, else the curve of an NMR spectrum."""
    if modality.startswith("ms"):
        pairs, header = [(f"{x:.4f}", f"{y:.1f}") for x, y in _peaks(lines, row, modality)], ("m/z", "intensity")
    elif (modality, separator) == ("c13", "\t"):
        pairs, header = [(f"{x:.2f}", f"{y:.2f}") for x, y in _peaks(lines, row, modality)][::-1], ("ppm", "intensity")
    else:
        y = _curve(lines, row, modality)
        x = np.linspace(AXES[modality][0], AXES[modality][-1], len(y))
        high, low = NMR_RANGE[modality]
        inside = (x <= high) & (x >= low)
        thousandths = np.rint(1000 * y[inside]).astype(int)
        decimals = 4 if modality == "h1" else 3
        pairs = [(f"{a:.{decimals}f}", str(b)) for a, b in zip(x[inside], thousandths, strict=True)]
        header = ("ppm", "intensity")
    return "".join(separator.join(pair) + "\n" for pair in (header, *pairs))


def _csv(sample: Sample, modality: str, lines: LineTable, row: int) -> str:
    return _columns(sample, modality, lines, row, ",")


def _text(sample: Sample, modality: str, lines: LineTable, row: int) -> str:
    return _columns(sample, modality, lines, row, "\t")


def _precursor(sample: Sample, modality: str) -> float:
    sign = 1 if modality == "msms_pos" else -1
    return ExactMolWt(Chem.MolFromSmiles(sample.smiles)) + sign * PROTON


def _mgf(sample: Sample, modality: str, lines: LineTable, row: int) -> str:
    charge, mode = ("1+", "positive") if modality == "msms_pos" else ("1-", "negative")
    head = [f"TITLE={sample.name} (simulated)", f"PEPMASS={_precursor(sample, modality):.4f}"]
    head += [f"CHARGE={charge}", f"IONMODE={mode}", "MSLEVEL=2"]
    peaks = [f"{x:.4f} {y:.1f}" for x, y in _peaks(lines, row, modality)]
    return "\n".join(["BEGIN IONS", *head, *peaks, "END IONS", ""])


def _msp(sample: Sample, modality: str, lines: LineTable, row: int) -> str:
    adduct, mode = ("[M+H]+", "Positive") if modality == "msms_pos" else ("[M-H]-", "Negative")
    peaks = [f"{x:.4f}\t{y:.1f}" for x, y in _peaks(lines, row, modality)]
    head = [f"Name: {sample.name}", f"PrecursorMZ: {_precursor(sample, modality):.4f}", f"Precursor_type: {adduct}"]
    head += [f"Ion_mode: {mode}", "Spectrum_type: MS2", "Comment: simulated", f"Num Peaks: {len(peaks)}"]
    return "\n".join([*head, *peaks, "", ""])


_Writer = Callable[[Sample, str, LineTable, int], str]
_WRITE: dict[str, _Writer] = {".jdx": _jcamp, ".csv": _csv, ".txt": _text, ".mgf": _mgf, ".msp": _msp}


if __name__ == "__main__":
    write_samples()
