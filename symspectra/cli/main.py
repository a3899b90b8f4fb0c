"""The command line, ``symspectra``: predict, evaluate, serve, label, train, calibrate, plan, reproduce and others."""

from __future__ import annotations

import argparse
import ast
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symspectra import __version__
from symspectra.cli import data as data_cli
from symspectra.cli import predict as predict_cli
from symspectra.cli import serve as serve_cli
from symspectra.config import Config, load_config
from symspectra.errors import ConfigError
from symspectra.experiments.engine import import_modules
from symspectra.experiments.profiles import PROFILES, load_profile
from symspectra.files import check_size
from symspectra.settings import MODELS, Data, Training

if TYPE_CHECKING:
    from symspectra.training.store import Run

RESUMES = "; the same command goes on from what is finished or in a checkpoint"


class Terminated(KeyboardInterrupt):
    """SIGTERM; whoever ends its child processes at Ctrl-C ends them at this too."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point; bad input is one sentence on standard error and exit status 2."""
    texts = sys.argv[1:] if arguments is None else arguments
    # "-4.5,18.3" is a value; argparse takes what begins with a minus for an option, but for single numbers
    parser = _parser()
    options, more = parser.parse_known_args([f" {text}" if re.match(r"-\.?\d", text) else text for text in texts])
    if more and (not hasattr(options, "settings") or any(text.startswith("-") for text in more)):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if more:  # settings after an option, which argparse leaves
        options.settings = [*options.settings, *more]
    main_process = os.getpid()

    def terminate(number: int, frame: Any) -> None:
        if os.getpid() != main_process:
            os._exit(143)  # a forked child just ends
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        import_modules(options.imports)
        options.command(options)
    except (ValueError, ImportError, OSError, RuntimeError, FloatingPointError) as error:
        print(f"symspectra: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        what, status = ("terminated", 143) if isinstance(error, Terminated) else ("interrupted", 130)
        print(f"symspectra: {what}{RESUMES if options.resumes else ''}", file=sys.stderr)
        return status
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="symspectra", description="Functional groups from several spectra at once.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(imports=[], resumes=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def shared(*names: str, **about: Any) -> argparse.ArgumentParser:
        p = argparse.ArgumentParser(add_help=False)
        p.add_argument(*names, **about)
        return p

    def add(name: str, function: Any, text: str, *parents: argparse.ArgumentParser, to: Any = commands) -> Any:
        p = to.add_parser(name, help=text, description=text, parents=parents)
        p.set_defaults(command=function)
        return p

    config = shared("config", type=Path, help="TOML file of settings, or the config.json of a run")
    store = shared("--store", type=Path, default=Path("runs"), help="folder of the runs (runs)")
    text = "auto, cpu, or cuda (also called gpu)"
    device = shared("--device", default="auto", help=text)
    profile = shared("--profile", default="demo", metavar="|".join(PROFILES))
    text = "module to import first, for example one that registers a model of your own"
    own = shared("--import", dest="imports", action="append", metavar="MODULE", default=[], help=text)
    table = shared("table", type=Path, help="CSV or parquet table as of predict --batch, with a column smiles")
    model = shared("--model", type=Path, metavar="FOLDER", help="predictor; by default the shipped one")
    out = shared("--out", type=Path, required=True, metavar="FOLDER", help="folder to write")

    p = add("predict", predict_cli.run, "functional groups of a molecule from its spectra", own, model)
    predict_cli.add_options(p)

    p = add("evaluate", predict_cli.evaluate, "how well labelled spectra of your own are predicted", table, model)

    text = "train a predictor further on labelled spectra of your own; scores before and after on held-out scaffolds"
    p = add("finetune", predict_cli.finetune, text, table, out, model)
    p.add_argument("--epochs", type=int, default=20)

    p = add("serve", serve_cli.run, "answer other programs by HTTP: spectra as JSON in, groups as JSON out", model)
    serve_cli.add_options(p)

    p = add("label", _label, "functional groups of molecules, by substructure")
    p.add_argument("smiles", nargs="+", metavar="SMILES")

    text = "train one configuration, or read the run if it is in the store"
    p = add("train", _train, text, config, own, store, device)
    p.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings that override the file's")
    p.add_argument("--threads", type=int, help="CPU threads")
    p.set_defaults(resumes=True)

    text = "make a predictor of a run, trained if it is not: calibration, thresholds, scores by subset of the spectra"
    p = add("calibrate", _calibrate, text, config, out, own, store, device)
    p.set_defaults(resumes=True)

    p = add("plan", _plan, "list the runs that notebooks need, and which are done", profile, own, store)
    p.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="by number or name; all by default")

    text = "copy the notebooks out of the package, to run them where there is no repository"
    p = add("notebooks", _notebooks, text)
    p.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where to write them, into notebooks/")

    text = "train what is missing, execute the notebooks, write the figures"
    p = add("reproduce", _reproduce, text, profile, own, store, device)
    p.add_argument("--only", nargs="+", metavar="NOTEBOOK", help="notebooks by number, for example 02")
    p.add_argument("--workers", type=int, help="runs at a time; one per core of a CPU, one per GPU by default")
    text = "train on the workers of the Dask scheduler that wrote it"
    p.add_argument("--scheduler-file", type=Path, metavar="FILE", help=text)
    p.add_argument("--figures", type=Path, help="folder of the figures, figures/PROFILE by default")
    p.set_defaults(resumes=True)

    text = "execute the notebooks with the recorded runs of a profile: every figure and the report, without training"
    p = add("figures", _figures, text, profile)
    p.add_argument("--figures", type=Path, help="folder to write, figures/PROFILE by default")
    add(
        "record",
        _record,
        "record the runs of a profile, for symspectra figures, in figures/PROFILE/records",
        profile,
        store,
    )

    data = commands.add_parser("data", help="extend the data sets").add_subparsers(required=True, metavar="COMMAND")
    text = "simulate molecules: more of the open data set, or a list of your own; can be interrupted and resumed"
    p = add("build", _build, text, to=data)
    p.add_argument("dataset", nargs="?", choices=["open"], help="extend the open data set, at level gfn2")
    p.add_argument("--max-heavy", type=int, help="largest number of heavy atoms (open: 20, a list: 40)")
    p.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    text = "list of SMILES: .smi, .txt, .csv or .tsv (column smiles), each also .xz or .gz; with --out"
    p.add_argument("--smiles", type=Path, metavar="FILE", help=text)
    text = "of a list: ff (MMFF94, some 50 ms per molecule), gfn2 (GFN2-xTB, seconds); ff by default"
    p.add_argument("--level", choices=["ff", "gfn2"], help=text)
    p.add_argument("--out", type=Path, metavar="FOLDER", help="of a list: folder of line lists, and of rejects.csv")
    p.add_argument("--molecules", type=int, help="open: how many to try; all that are missing by default")
    p.add_argument("--records", type=Path, help="open: folder for quantum records (runs/records)")
    text = "open: take the records of this folder and compute none"
    p.add_argument("--import", type=Path, dest="source", metavar="FOLDER", help=text)
    p.add_argument("--directory", type=Path, help="open: data set to extend; the installed one by default")
    p.set_defaults(resumes=True)

    text = "simulate electron ionisation of the molecules of a set of line lists; can be interrupted and resumed"
    p = add("ei", _ei, text, to=data)
    p.add_argument("dataset", help="open, uspto, or a folder of `symspectra data build`")
    p.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    p.set_defaults(resumes=True)

    p = add("prepare", data_cli.run, "prepare spectra: public collections, or a table of your own", to=data)
    data_cli.add_options(p)

    p = add("show", _show, "what a shipped data set holds", to=data)
    p.add_argument("dataset", choices=["open", "uspto"])
    p.add_argument("--directory", type=Path, help="data set to show; the installed one by default")
    return parser


def _label(options: argparse.Namespace) -> None:
    from symspectra.groups.table8 import NAMES, label

    for smiles, groups in zip(options.smiles, label(options.smiles), strict=True):
        found = [f"{i + 1} {name}" for i, name in enumerate(NAMES) if groups[i]]
        print(f"{smiles}\t{', '.join(found) or 'none of the 37 groups'}")


def parse_settings(texts: list[str]) -> dict[str, Any]:
    """``["lr=1e-3", "modalities=ir,c13"]`` as values of the types that the settings have.

    Raises
    ------
    ConfigError : for a text without ``=``; names and types are checked by `Config`.
    """
    settings: dict[str, Any] = {}
    blocks = (Data, Training, *MODELS.values())
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r} is not a setting; expected NAME=VALUE, for example lr=1e-3")
        known = [block.model_fields[name].default for block in blocks if name in block.model_fields]
        default = known[0] if known else None
        if isinstance(default, str):
            settings[name] = value
        elif value in ("true", "false"):
            settings[name] = value == "true"
        else:
            try:
                settings[name] = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                settings[name] = tuple(value.split(",")) if isinstance(default, tuple) else value
    return settings


def _trained(config: Config, options: argparse.Namespace) -> Run:
    """The run of a configuration in the store, with a bar of its epochs where it must be trained."""
    from tqdm import tqdm

    from symspectra.training.runs import run

    with tqdm(total=config.training.epochs, unit="epoch") as bar:

        def report(epoch: dict[str, float]) -> None:
            bar.update(epoch["epoch"] + 1 - bar.n)
            bar.set_postfix(loss=f"{epoch['loss']:.3f}", validation=f"{epoch['validation_micro_f1']:.3f}")

        return run(config, options.store, options.device, report=report)


def _train(options: argparse.Namespace) -> None:
    import torch

    config = load_config(options.config, **parse_settings(options.settings))
    if options.threads:
        torch.set_num_threads(options.threads)
    result = _trained(config, options)
    for split in ("validation", "test"):
        scores = result.metrics.get(split, {})
        shown = [f"{name} {scores[name]:.3f}" for name in ("micro_f1", "macro_f1", "exact_match") if scores]
        print(split, *(shown or ["has no molecule with a label, and no scores"]))
    print(result.path)


def _calibrate(options: argparse.Namespace) -> None:
    from symspectra.datasets.base import load_dataset
    from symspectra.predict.build import build, check_folder

    config = load_config(options.config)
    check_folder(options.out)
    card = build(_trained(config, options), load_dataset(config), options.out, show=True)
    for name, subset in card["subsets"].items():
        error = subset["calibration_error"]
        print(f"{name}: micro-F1 {subset['micro_f1']:.3f}, macro-F1 {subset['macro_f1']:.3f}", end=", ")
        print(f"calibration error {error['before']:.4f} before, {error['after']:.4f} after")
    print(options.out)


def _plan(options: argparse.Namespace) -> None:
    from symspectra.experiments.plan import project
    from symspectra.experiments.reproduce import describe, plan
    from symspectra.parallel import cores

    entries = plan(options.profile, project() / options.store, options.notebooks)  # as `reproduce` has it
    for config, done, seconds in entries:
        time = "" if seconds is None else f"{seconds:6.0f} s"
        print(f"{'done   ' if done else 'missing'} {time}  {describe(config)}")
    missing = [entry.seconds for entry in entries if not entry.done]
    known = [seconds / 60 for seconds in missing if seconds is not None]
    time = f"; {len(known)} of them take about {sum(known):.1f} minutes of one core" if known else ""
    time += f", {sum(known) / cores():.1f} minutes on {cores()}" if known else ""
    print(f"{len(entries)} runs, {len(missing)} missing{time}")
    print(f"{options.profile}: {load_profile(options.profile).description}")


def _reproduce(options: argparse.Namespace) -> None:
    from symspectra.experiments.reproduce import reproduce

    names = ("profile", "only", "store", "figures", "workers", "device", "scheduler_file", "imports")
    reproduce(**{name: getattr(options, name) for name in names})


def _figures(options: argparse.Namespace) -> None:
    from symspectra.experiments.reproduce import redraw

    redraw(options.profile, options.figures)


def _record(options: argparse.Namespace) -> None:
    from symspectra.experiments.reproduce import record

    folder = record(options.profile, options.store)
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.1f} MB")


def _notebooks(options: argparse.Namespace) -> None:
    from symspectra.experiments.plan import copy_notebooks

    print(copy_notebooks(options.to))


def _build(options: argparse.Namespace) -> None:
    from symspectra.datasets.base import OPEN_DIRECTORY
    from symspectra.datasets.open_data import build, build_list, import_records

    if options.max_heavy is not None and options.max_heavy < 4:
        raise ConfigError(f"--max-heavy {options.max_heavy}: expected at least 4")
    if options.workers < 1 or (options.molecules or 0) < 0:
        raise ConfigError(f"--workers {options.workers}, --molecules {options.molecules}: expected 1 and 0, or more")
    for name in ("smiles", "level", "out") if options.dataset else ("molecules", "records", "source", "directory"):
        if getattr(options, name) is not None:
            what = "of a list of SMILES" if options.dataset else "of the data set 'open'"
            raise ConfigError(f"--{'import' if name == 'source' else name} is {what}; expected one or the other")
    if options.dataset is None:
        if options.smiles is None or options.out is None:
            raise ConfigError("expected open, or --smiles FILE and --out FOLDER")
        check_size(options.smiles, data_cli.TABLE_BYTES, expected="a list of SMILES")
        made, rejected = build_list(
            options.smiles, options.out, options.level or "ff", options.workers, options.max_heavy or 40
        )
        print(f"{made} molecules in {options.out}, {rejected} rejected (rejects.csv)")
        return
    directory = options.directory or OPEN_DIRECTORY
    if options.source is not None:
        added = import_records(options.source, directory, options.workers)
    else:
        records = options.records or Path("runs/records")
        added = build(records, directory, options.max_heavy or 20, options.molecules, options.workers)
    print(f"{added} molecules added to {directory}")


def _ei(options: argparse.Namespace) -> None:
    from symspectra.datasets.base import SHIPPED
    from symspectra.datasets.open_data import build_ei

    directory = SHIPPED.get(options.dataset, Path(options.dataset))
    print(f"{build_ei(directory, options.workers)} molecules simulated beside those of {directory}")


def _show(options: argparse.Namespace) -> None:
    from symspectra.datasets.base import SHIPPED
    from symspectra.datasets.open_data import summary

    for name, value in summary(options.directory or SHIPPED[options.dataset]).items():
        print(f"{name.replace('_', ' ')}: {value}")
