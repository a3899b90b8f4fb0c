"""``symspectra data prepare``: options, and what it prints."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from symspectra.errors import ConfigError
from symspectra.files import check_size
from symspectra.settings import Data, choices

TABLE_BYTES = 2_000_000_000  # a line of a table is read whole; the other sources are read piece by piece


def add_options(parser: argparse.ArgumentParser) -> None:
    """Commands and options below ``symspectra data prepare``."""
    kinds = parser.add_subparsers(required=True, metavar="DATASET", dest="dataset")

    p = kinds.add_parser("experimental", help="nmrshiftdb2, MassBank and IRexp, joined by structure")
    p.add_argument("--nmrshiftdb2", type=Path, metavar="FILE", help="nmrshiftdb2withsignals.sd, or a .zip of it")
    p.add_argument("--massbank", type=Path, metavar="PATH", help="folder or .zip of MassBank records")
    p.add_argument("--irexp", type=Path, metavar="FILE", help="irexp_commercial.jsonl.gz")
    text = "licences to keep, such as 'CC BY*', or all; by default all but non-commercial and no derivatives"
    p.add_argument("--licence-allow", nargs="+", metavar="PATTERN", help=text)

    p = kinds.add_parser("irexp", help="infrared bands, 1H and 13C lists of IRexp, printed in open-access papers")
    p.add_argument("--file", dest="irexp", type=Path, required=True, metavar="FILE", help="irexp_commercial.jsonl.gz")
    text = "licences to keep, such as 'CC BY*', or all; by default CC BY and CC0"
    p.add_argument("--licence-allow", nargs="+", metavar="PATTERN", help=text)

    p = kinds.add_parser("peaks", help="a table of peaks of your own, CSV or parquet")
    p.add_argument("--table", type=Path, required=True, metavar="FILE", help="columns smiles, modality, peaks")

    p = kinds.add_parser("alberts", help="simulated spectra of Alberts et al. (2024); can be interrupted and resumed")
    p.add_argument("--source", type=Path, required=True, metavar="FOLDER", help="folder of the parquet files")
    text = "of the NMR axes (blockmax)"
    p.add_argument("--resample", choices=choices(Data, "resample"), default="blockmax", help=text)
    p.set_defaults(resumes=True)
    for p in kinds.choices.values():
        p.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder to write")
        p.add_argument("--workers", type=int, default=1, metavar="N", help="processes (1)")


def _check_input(path: Path, limit: float = math.inf) -> None:
    """`DataError` for a device or a pipe, which may never end, at a path or in a folder there; or a file too large."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if not file.is_dir():
            check_size(file, limit, expected="a regular file")


def run(options: argparse.Namespace) -> None:
    """Prepare, and print what there is."""
    from symspectra.datasets.writer import described

    for name in ("nmrshiftdb2", "massbank", "irexp", "source"):
        if getattr(options, name, None) is not None:
            _check_input(getattr(options, name))
    if options.dataset == "peaks":
        _check_input(options.table, TABLE_BYTES)
    if options.dataset == "alberts":
        from symspectra.datasets.alberts.prepare import prepare

        print(described(prepare(options.source, options.out, options.workers, show=True, how=options.resample)))
    else:
        from symspectra.datasets.measured.irexp import LICENCES
        from symspectra.datasets.measured.prepare import prepare

        if options.dataset == "peaks":
            sources, licences = [("peaks", options.table)], ["all"]
        elif options.dataset == "irexp":
            sources, licences = [("irexp", options.irexp)], options.licence_allow or LICENCES
        else:
            given = [(kind, getattr(options, kind)) for kind in ("nmrshiftdb2", "massbank", "irexp")]
            sources, licences = [(kind, path) for kind, path in given if path is not None], options.licence_allow
        if not sources:
            raise ConfigError("nothing to prepare; expected --nmrshiftdb2 FILE, --massbank PATH or --irexp FILE")
        print(described(prepare(sources, options.out, licences, options.workers, show=True)))
    print(options.out)
