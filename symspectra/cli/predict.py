"""``symspectra predict``: what it reads and prints."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from symspectra.errors import ConfigError, suggest
from symspectra.modalities import KINDS

LONGEST_TEXT = 100_000  # characters of a paragraph
LISTS = {
    "ir": "2980 (w), 1741 (vs), 1240 (s)",
    "c13": "170.9, 60.4, 21.0",
    "h1": "7.26 (m, 5H), 3.70 (q, J = 7.0 Hz, 2H)",
    "ei": "43:100, 61:15, 88:5",
}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--formula", type=str.strip, metavar="C4H8O2", help="molecular formula, where it is known")
    for name, kind in KINDS.items():
        if not kind.spectrum:
            continue
        text = f"{kind.said} spectrum" + (f", or a list such as '{LISTS[name]}'" if name in LISTS else "")
        parser.add_argument(_option(name), dest=name, type=str.strip, metavar="FILE", help=text)
    text = "the paragraph of an experimental section, - for standard input"
    parser.add_argument("--text", metavar="FILE", help=text)
    parser.add_argument("--batch", type=Path, metavar="TABLE", help="many molecules: a CSV or parquet table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there as CSV")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--all", action="store_true", help="show all groups, not only those of at least 10 %%")
    parser.add_argument("--steps", action="store_true", help="show what was done to each spectrum")
    for name, what in (("block", "number of the spectrum in its file"), ("x_unit", "unit of x"), ("y_unit", "of y")):
        text = f"{what}, where the file does not say; SPECTRUM= may be left out when one is given"
        parser.add_argument(_option(name), action="append", metavar="[SPECTRUM=]VALUE", default=[], help=text)


def run(options: argparse.Namespace) -> None:
    """Predict one molecule, or a table of them, and print or write the answer."""
    sources = {name: getattr(options, name) for name in KINDS if getattr(options, name) is not None}
    if bool(sources) + (options.batch is not None) + (options.text is not None) != 1:
        spectra = ", ".join(map(_option, KINDS))
        raise ConfigError(f"expected spectra ({spectra}), --text FILE or --batch TABLE, one of the three")
    if options.batch is not None and options.out is None:
        raise ConfigError("--batch needs --out FILE for the answers")
    reading = _reading(options, sources)
    if options.out is not None:
        _check_out(options.out, [*sources.values(), *([options.batch] if options.batch else [])])
    from symspectra.predict.tables import read_molecules, spectrum_of
    from symspectra.spectra.readers.paragraph import read_paragraph

    # what is given is looked at before torch and the predictor are loaded
    molecules = None if options.batch is None else read_molecules(options.batch)
    spectra, unused = {name: spectrum_of(text, name, **reading[name]) for name, text in sources.items()}, []
    if options.text is not None:
        spectra, unused = read_paragraph(_read_text(options.text))
    from symspectra.predict.batch import predict_table, write_csv
    from symspectra.predict.predictor import Predictor

    predictor = Predictor(options.model)
    if molecules is not None:
        table, rejects = predict_table(predictor, molecules, progress=True)
        write_csv(options.out, table)
        print(f"{len(table)} molecules in {options.out}")
        if len(rejects):
            write_csv(_rejects(options.out), rejects)
            print(f"{len(rejects)} spectra could not be read: {_rejects(options.out)}", file=sys.stderr)
        return
    prediction = predictor.predict(spectra)
    for sentence in (*unused, *prediction.warnings):
        print(f"symspectra: warning: {sentence}", file=sys.stderr)
    if options.out is not None:
        write_csv(options.out, prediction.table())
    if options.json:
        print(json.dumps(prediction.to_dict() | ({"unused": unused} if options.text else {}), indent=1))
        return
    if options.steps:
        for name, prepared in prediction.spectra.items():
            print(f"{name}: {prepared.spectrum.meta.get('source', 'typed list of peaks')}")
            print(*(f"  - {step}" for step in prepared.steps), sep="\n")
    print(prediction.known)
    table = prediction.table(0.0 if options.all else 0.1)
    nothing = f"none of the {len(predictor.labels)} groups with at least 10 %; --all shows them"
    print(table.to_string(index=False) if len(table) else nothing)


def _read_text(path: str) -> str:
    """A paragraph from a file or from standard input; `ReadError` names what cannot be read."""
    from symspectra.errors import ReadError
    from symspectra.files import check_size

    if path != "-":
        check_size(Path(path), LONGEST_TEXT, ReadError, "a paragraph of text")
    try:
        return sys.stdin.read(LONGEST_TEXT) if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"{path}: cannot be read as text ({error})") from error


def evaluate(options: argparse.Namespace) -> None:
    """Print the scores of a table of labelled spectra."""
    from symspectra.predict.evaluate import evaluate
    from symspectra.predict.predictor import Predictor

    scores, rejects = evaluate(Predictor(options.model), options.table, progress=True)
    print(scores.astype({"molecules": int}).round(3).to_string())
    print("constant: micro-F1 of naming the commonest groups of this table for every molecule")
    for row in rejects.itertuples():
        print(f"{row.name}, {row.modality}: {row.reason}", file=sys.stderr)


def finetune(options: argparse.Namespace) -> None:
    """Train further, write the predictor, and print its scores before and after."""
    from tqdm import tqdm

    from symspectra.predict.finetune import finetune
    from symspectra.predict.predictor import Predictor

    predictor = Predictor(options.model)
    with tqdm(total=options.epochs, unit="epoch") as bar:
        scores = finetune(predictor, options.table, options.out, options.epochs, report=lambda _: bar.update())
    print(scores.round(3).to_string())
    print(options.out)


def _rejects(out: Path) -> Path:
    return out.with_name(f"{out.stem}.rejects.csv")


def _check_out(out: Path, sources: list[str | Path]) -> None:
    """Before anything is computed: can the answer be written, and not over what it is made from?"""
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")
    if not os.access(out.parent, os.W_OK):
        raise ConfigError(f"--out {out}: the folder {out.parent} cannot be written")
    for path in filter(Path.exists, (out, _rejects(out))):
        if not path.is_file():
            raise ConfigError(f"--out {out}: {path} is there and is not a file")
        if any(os.path.exists(source) and path.samefile(source) for source in sources):
            raise ConfigError(f"--out {out}: {path} is what is read; name another file")


def _reading(options: argparse.Namespace, sources: dict[str, str]) -> dict[str, dict[str, Any]]:
    """``--y-unit ir=absorbance`` as ``{"ir": {"y_unit": "absorbance"}}``."""
    values: dict[str, dict[str, Any]] = {name: {} for name in sources}
    for name in ("block", "x_unit", "y_unit"):
        for text in getattr(options, name):
            modality, equals, value = text.rpartition("=")
            modality = modality.replace("-", "_")
            if not equals:
                if len(sources) != 1:
                    raise ConfigError(f"{_option(name)} {text}: of which spectrum? Write ir={text}, for example")
                modality = next(iter(sources))
            if modality not in sources:
                raise ConfigError(f"{_option(name)} {text}: {suggest(modality, tuple(sources) or KINDS)}")
            if name == "block" and not value.isdecimal():
                raise ConfigError(f"--block {text}: expected a number, from 1")
            values[modality][name] = int(value) if name == "block" else value
    return values
