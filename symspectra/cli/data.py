"""``symspectra data prepare``: options, and what it prints."""

from __future__ import annotations

import argparse
from pathlib import Path

from symspectra.settings import Data, choices


def add_options(parser: argparse.ArgumentParser) -> None:
    """Commands and options below ``symspectra data prepare``."""
    kinds = parser.add_subparsers(required=True, metavar="DATASET", dest="dataset")

    p = kinds.add_parser("experimental", help="nmrshiftdb2 and MassBank, joined by structure")
    p.add_argument("--nmrshiftdb2", type=Path, metavar="FILE", help="nmrshiftdb2withsignals.sd, or a .zip of it")
    p.add_argument("--massbank", type=Path, metavar="PATH", help="folder or .zip of MassBank records")
    text = "licences to keep, such as 'CC BY*', or all; by default all but non-commercial and no derivatives"
    p.add_argument("--licence-allow", nargs="+", metavar="PATTERN", help=text)
    _shared(p)

    p = kinds.add_parser("peaks", help="a table of peaks of your own, CSV or parquet")
    p.add_argument("--table", type=Path, required=True, metavar="FILE", help="columns smiles, modality, peaks")
    _shared(p)

    p = kinds.add_parser("alberts", help="simulated spectra of Alberts et al. (2024); can be interrupted and resumed")
    p.add_argument("--source", type=Path, required=True, metavar="FOLDER", help="folder of the parquet files")
    p.add_argument(
        "--resample", choices=choices(Data, "resample"), default="blockmax", help="of the NMR axes (blockmax)"
    )
    _shared(p)


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder to write")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (1)")


def run(options: argparse.Namespace) -> None:
    """Prepare, and print what there is."""
    print(_alberts(options) if options.dataset == "alberts" else _measured(options))
    print(options.out)


def _alberts(options: argparse.Namespace) -> str:
    from symspectra.datasets.alberts.prepare import described, prepare

    return described(prepare(options.source, options.out, options.workers, show=True, how=options.resample))


def _measured(options: argparse.Namespace) -> str:
    from symspectra.datasets.measured.prepare import prepare
    from symspectra.datasets.measured.summary import described
    from symspectra.errors import ConfigError

    if options.dataset == "peaks":
        sources, licences = [("peaks", options.table)], ["all"]
    else:
        given = {"nmrshiftdb2": options.nmrshiftdb2, "massbank": options.massbank}
        sources = [(kind, path) for kind, path in given.items() if path is not None]
        licences = options.licence_allow
    if not sources:
        raise ConfigError("nothing to prepare; expected --nmrshiftdb2 FILE, --massbank PATH, or both")
    return described(prepare(sources, options.out, licences, options.workers, show=True))
