"""``symspectra predict``: what it reads and prints."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from symspectra.errors import ConfigError, suggest
from symspectra.modalities import MODALITIES

SPECTRA = {
    "ir": "infrared spectrum",
    "c13": "13C NMR spectrum, or a list such as '170.9, 60.4, 21.0'",
    "h1": "1H NMR spectrum, or a list such as '7.26 (m, 5H), 3.70 (q, J = 7.0 Hz, 2H)'",
    "msms_pos": "MS/MS spectrum, positive ions",
    "msms_neg": "MS/MS spectrum, negative ions",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    for name, text in SPECTRA.items():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="FILE", help=text)
    parser.add_argument("--batch", type=Path, metavar="TABLE", help="many molecules: a CSV or parquet table (README)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there as CSV")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--all", action="store_true", help="show all 37 groups, not only those of at least 10 %%")
    parser.add_argument("--steps", action="store_true", help="show what was done to each spectrum")
    for name, what in (("block", "number of the spectrum in its file"), ("x-unit", "unit of x"), ("y-unit", "of y")):
        text = f"{what}, where the file does not say; SPECTRUM= may be left out when one is given"
        parser.add_argument(f"--{name}", action="append", metavar="[SPECTRUM=]VALUE", default=[], help=text)
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="predictor to use; the shipped one by default")


def run(options: argparse.Namespace) -> None:
    """Predict one molecule, or a table of them, and print or write the answer."""
    sources = {name: getattr(options, name) for name in SPECTRA if getattr(options, name) is not None}
    if bool(sources) == (options.batch is not None):
        choices = ", ".join(f"--{name.replace('_', '-')}" for name in SPECTRA)
        raise ConfigError(f"expected spectra ({choices}) or --batch TABLE, one of the two")
    from symspectra.predict.predictor import SHIPPED, Predictor

    reading = {name: _by_modality(name, getattr(options, name), sources) for name in ("block", "x_unit", "y_unit")}
    if options.batch is not None:
        _batch(options, SHIPPED)
        return
    prediction = Predictor(options.model or SHIPPED).predict(sources, **reading)
    for sentence in prediction.warnings:
        print(f"symspectra: warning: {sentence}", file=sys.stderr)
    if options.out is not None:
        from symspectra.predict.batch import write_csv

        write_csv(options.out, prediction.table())
    if options.json:
        print(json.dumps(prediction.to_dict(), indent=1))
        return
    if options.steps:
        for name, prepared in prediction.spectra.items():
            print(f"{name}: {prepared.spectrum.meta.get('source', 'typed list of peaks')}")
            for step in prepared.steps:
                print(f"  - {step}")
    table = prediction.table(0.0 if options.all else 0.1)
    print(table.to_string(index=False) if len(table) else "none of the 37 groups with at least 10 %; --all shows them")


def _by_modality(name: str, texts: list[str], sources: dict[str, str]) -> dict[str, Any]:
    """``["ir=absorbance"]`` as ``{"ir": "absorbance"}``."""
    values: dict[str, Any] = {}
    for text in texts:
        modality, equals, value = text.rpartition("=")
        modality = modality.replace("-", "_")
        if not equals:
            if len(sources) != 1:
                raise ConfigError(f"--{name.replace('_', '-')} {text}: of which spectrum? Write ir={text}, for example")
            modality = next(iter(sources))
        if modality not in sources:
            known = tuple(sources) or MODALITIES
            raise ConfigError(f"--{name.replace('_', '-')} {text}: {suggest(modality, known)}")
        if name == "block" and not value.isdecimal():
            raise ConfigError(f"--block {text}: expected a number, from 1")
        values[modality] = int(value) if name == "block" else value
    return values


def _batch(options: argparse.Namespace, shipped: Path) -> None:
    from symspectra.predict.batch import predict_table, write_csv
    from symspectra.predict.predictor import Predictor

    if options.out is None:
        raise ConfigError("--batch needs --out FILE for the answers")
    table, rejects = predict_table(Predictor(options.model or shipped), options.batch, progress=True)
    write_csv(options.out, table)
    print(f"{len(table)} molecules in {options.out}")
    if len(rejects):
        path = options.out.with_name(f"{options.out.stem}.rejects.csv")
        write_csv(path, rejects)
        print(f"{len(rejects)} spectra could not be read: {path}", file=sys.stderr)
