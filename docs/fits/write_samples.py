"""Write the spectra of the sample molecules anew: ``python docs/fits/write_samples.py``."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem.Descriptors import ExactMolWt

from symspectra.datasets.base import OPEN_DIRECTORY
from symspectra.modalities import MODALITIES
from symspectra.predict.samples import FOLDER, Sample, samples
from symspectra.spectra.lines import LineTable, read_lines
from symspectra.spectra.preprocessing import AXES
from symspectra.spectra.rendering import Nuisance, render_axis, uniform

PROTON = 1.007276  # mass in m/z units
NMR_RANGE = {"c13": (200.0, 0.0), "h1": (10.0, 0.0)}  # ppm
H1_POINTS = 5000  # of the whole axis, 10 to -2 ppm
NOISE = {"ir": 0.005, "c13": 0.003, "h1": 0.003}  # half-range of the noise, relative to the strongest point


def write_samples(folder: str | Path = FOLDER) -> None:
    """Write the files of all samples and the two tables."""
    folder, lines = Path(folder), read_lines(OPEN_DIRECTORY)
    folder.mkdir(parents=True, exist_ok=True)
    files, structures = [["name", *MODALITIES]], [["name", "smiles"]]
    for sample in samples(folder):
        row = lines.smiles.index(sample.smiles)
        for modality, path in sample.files.items():
            path.write_text(WRITERS[path.suffix](sample, modality, lines, row))
        files.append([sample.name, *(sample.files[m].name if m in sample.files else "" for m in MODALITIES)])
        structures.append([sample.name, sample.smiles])
    for name, rows in (("samples", files), ("structures", structures)):
        with open(folder / f"{name}.csv", "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def _curve(lines: LineTable, row: int, modality: str) -> tuple[np.ndarray, np.ndarray]:
    """A spectrum on its standard axis (1H: with fewer points), disturbed, with noise, the strongest point about 1."""
    points = H1_POINTS if modality == "h1" else None
    y = render_axis(lines, torch.tensor([row]), modality, Nuisance(), points=points)[0]
    noise = 2 * uniform(lines.seed[row].expand(len(y)), torch.arange(len(y)), "baseline") - 1
    x = np.linspace(AXES[modality][0], AXES[modality][-1], len(y))
    return x, (y / y.max() + NOISE[modality] * noise).numpy()


def _peaks(lines: LineTable, row: int, modality: str, digits: int = 1) -> list[tuple[str, str]]:
    columns, _, _ = lines.spectra[modality].select(torch.tensor([row]))
    x, y, places = ("ppm", "area", 2) if modality == "c13" else ("mz", "intensity", 4)
    pairs = sorted(zip(columns[x].tolist(), columns[y].tolist(), strict=True))
    return [(f"{a:.{places}f}", f"{b:.{digits}f}") for a, b in pairs]


def _jcamp(sample: Sample, modality: str, lines: LineTable, row: int) -> str:
    """Infrared as percent transmittance from 4000 to 400 cm-1."""
    x = AXES["ir"][::-1]
    y = np.rint(1e4 * 10 ** -_curve(lines, row, "ir")[1][::-1]).astype(int)  # in 0.01 %
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
        "DELTAX": f"{(x[-1] - x[0]) / (len(x) - 1):.8f}",
        "NPOINTS": f"{len(x)}",
        "FIRSTY": f"{y[0] / 100:.2f}",
        "MAXY": f"{y.max() / 100:.2f}",
        "MINY": f"{y.min() / 100:.2f}",
        "XYDATA": "(X++(Y..Y))",
    }
    head = [f"##{label}={value}" for label, value in labels.items()]
    body = [f"{x[i]:.4f} " + " ".join(map(str, y[i : i + 10])) for i in range(0, len(x), 10)]
    return "\n".join([*head, *body, "##END=", ""])


def _columns(sample: Sample, modality: str, lines: LineTable, row: int) -> str:
    """Two columns with a header: peaks of 13C (.txt) and MS/MS, else the curve of an NMR spectrum."""
    ending = sample.files[modality].suffix
    if modality.startswith("ms"):
        header, pairs = ("m/z", "intensity"), _peaks(lines, row, modality)
    elif (modality, ending) == ("c13", ".txt"):
        header, pairs = ("ppm", "intensity"), _peaks(lines, row, modality, digits=2)[::-1]
    else:
        x, y = _curve(lines, row, modality)
        high, low = NMR_RANGE[modality]
        inside = (x <= high) & (x >= low)
        places = 4 if modality == "h1" else 3
        thousandths = np.rint(1000 * y[inside]).astype(int)
        header = ("ppm", "intensity")
        pairs = [(f"{a:.{places}f}", str(b)) for a, b in zip(x[inside], thousandths, strict=True)]
    separator = "," if ending == ".csv" else "\t"
    return "".join(separator.join(pair) + "\n" for pair in (header, *pairs))


def _peak_list(sample: Sample, modality: str, lines: LineTable, row: int) -> str:
    """MS/MS as .mgf or .msp."""
    sign, mode, proton = ("+", "positive", PROTON) if modality == "msms_pos" else ("-", "negative", -PROTON)
    precursor = ExactMolWt(Chem.MolFromSmiles(sample.smiles)) + proton
    peaks = _peaks(lines, row, modality)
    if sample.files[modality].suffix == ".mgf":
        head = ["BEGIN IONS", f"TITLE={sample.name} (simulated)", f"PEPMASS={precursor:.4f}"]
        head += [f"CHARGE=1{sign}", f"IONMODE={mode}", "MSLEVEL=2"]
        return "\n".join([*head, *map(" ".join, peaks), "END IONS", ""])
    head = [f"Name: {sample.name}", f"PrecursorMZ: {precursor:.4f}", f"Precursor_type: [M{sign}H]{sign}"]
    head += [f"Ion_mode: {mode.title()}", "Spectrum_type: MS2", "Comment: simulated", f"Num Peaks: {len(peaks)}"]
    return "\n".join([*head, *map("\t".join, peaks), "", ""])


WRITERS = {".jdx": _jcamp, ".csv": _columns, ".txt": _columns, ".mgf": _peak_list, ".msp": _peak_list}


if __name__ == "__main__":
    write_samples()
