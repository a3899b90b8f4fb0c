"""Fit the wavenumber factors of both levels on measured bands: ``python docs/fits/fit_wavenumbers.py``.

``data/gas_bands.csv`` has the wavenumbers of gases (SO2: of dilute solutions, or the middle of the range of the class):
all fundamentals of a molecule, or those of one kind of mode, from Shimanouchi, Tables of Molecular Vibrational
Frequencies I (NSRDS-NBS 39, 1972) and II (J. Phys. Chem. Ref. Data 6, 993, 1977), the Computational Chemistry
Comparison and Benchmark Database (CCCBDB, NIST SRD 101), Bellamy, The Infrared Spectra of Complex Molecules (3rd ed.,
1975), and Silverstein, Webster, Kiemle, Spectrometric Identification of Organic Compounds (7th ed., 2005, chapter 2).

The column `checked` names what a row was compared with: `NIST WebBook`, Shimanouchi's values as the WebBook has them
(copy: github.com/bartolsthoorn/MVF.json), or `CCCBDB` (copy: Fekete et al., Mol. Phys. 105, 2597, 2007,
github.com/zfekete2/10.1080-00268970701598089, and the page of formamide). `contradicted` rows stand as quoted beside
the other value; `not checked` rows, Bellamy's and Silverstein's among them, were found in no open source. Which of
Shimanouchi's two tables a row is from was not checked. A few seconds on one core.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from jaxtyping import Float

import symspectra
from symspectra.files import written
from symspectra.simulation import force_field, quantum
from symspectra.simulation.quantum import SimulationError
from symspectra.simulation.shifts import molecule_with_geometry
from symspectra.simulation.wavenumbers import KINDS, Level, mode_kinds

BANDS, FACTORS = (Path(symspectra.__file__).parent / "data" / name for name in ("gas_bands.csv", "wavenumbers.csv"))
SIMULATE = {"ff": force_field.simulate, "gfn2": quantum.simulate}
Pairs = dict[str, list[tuple[float, float]]]  # kind: measured and computed wavenumber


def compare(level: Level, path: Path = BANDS) -> Pairs:
    """Measured and computed wavenumbers by kind of mode; where the numbers of bands differ, their means.

    A molecule outside what the level can do is named and left out.

    Raises
    ------
    ValueError : a row of all fundamentals whose molecule has another number of modes.
    """
    pairs: Pairs = defaultdict(list)
    computed: dict[str, tuple[Float[np.ndarray, " mode"], list[str]]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            if row["smiles"] not in computed:
                try:
                    record = SIMULATE[level](row["smiles"])
                except SimulationError as error:
                    print(f"{row['smiles']} left out at level {level}: {error}")
                    continue
                mol = molecule_with_geometry(row["smiles"], record.xyz_angstrom)
                kinds = mode_kinds(mol, record.freq_cm1, record.inten_km_mol)
                computed[row["smiles"]] = record.freq_cm1, kinds
            cm1, kinds = computed[row["smiles"]]
            measured = sorted(map(float, row["cm1"].split()), reverse=True)
            order = np.argsort(-cm1)
            if row["kind"] != "all":
                order = [k for k in order if kinds[k] == row["kind"]]
                if len(order) != len(measured):
                    if order:
                        pairs[row["kind"]].append((float(np.mean(measured)), float(cm1[order].mean())))
                    continue
            if len(order) != len(measured):
                raise ValueError(f"{path}, line {number}: {len(measured)} bands, {len(order)} modes computed ({level})")
            for k, value in zip(order, measured, strict=True):
                pairs[kinds[k]].append((value, float(cm1[k])))
    return pairs


def table(level: Level, pairs: Pairs) -> list[dict[str, str | float | int]]:
    """A row per kind of mode: factor, number of bands, and median absolute error in cm-1 without and with it."""
    rows = []
    for kind in KINDS:
        measured, computed = np.array(pairs.get(kind, np.empty((0, 2)))).reshape(-1, 2).T
        factor = round(float(np.median(measured / computed)), 4) if len(measured) else 1.0
        errors = [
            round(float(np.median(np.abs(measured - f * computed))), 1) if len(measured) else "" for f in (1, factor)
        ]
        names = ("level", "kind", "factor", "bands", "error_before", "error_after", "source")
        values = (level, kind, factor, len(measured), *errors, BANDS.name if len(measured) else "none: unscaled")
        rows.append(dict(zip(names, values, strict=True)))
    return rows


def main() -> None:
    """Command line: fit, print and write the table of factors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FACTORS, help="CSV file to write (default: the package's own)")
    parser.add_argument("--level", choices=list(SIMULATE), action="append", help="to fit; the others stay (both)")
    options = parser.parse_args()
    levels = options.level or list(SIMULATE)
    with open(FACTORS, newline="", encoding="utf-8") as file:
        old = {(row["level"], row["kind"]): row for row in csv.DictReader(file)}
    fitted = {(row["level"], row["kind"]): row for level in levels for row in table(level, compare(level))}
    # A kind without a known band keeps its factor.
    rows = [*(old | {key: row for key, row in fitted.items() if row["bands"] or key not in old}).values()]
    with written(options.out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(*row.values(), sep="\t")


if __name__ == "__main__":
    main()
