"""The command line: ``symspectra predict | label | train | plan | reproduce | calibrate | data``."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from symspectra import __version__
from symspectra.cli import data as data_cli
from symspectra.cli import predict as predict_cli
from symspectra.config import load_config
from symspectra.errors import ConfigError
from symspectra.experiments.profiles import PROFILES, load_profile
from symspectra.settings import MODELS, Data, Training


def main(arguments: list[str] | None = None) -> int:
    """Entry point; bad input is one sentence on standard error and exit status 2."""
    options = _parser().parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _terminated(os.getpid()))
    try:
        _import(getattr(options, "imports", []))
        if hasattr(options, "device"):
            options.device = _device(options.device)
        options.command(options)
    except (ValueError, ImportError, OSError, RuntimeError, FloatingPointError) as error:
        print(f"symspectra: {error}", file=sys.stderr)
        return 2
    except Terminated:
        print("symspectra: terminated; the same command goes on from here", file=sys.stderr)
        return 143
    except KeyboardInterrupt:
        print("symspectra: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


class Terminated(KeyboardInterrupt):
    """SIGTERM; whoever ends its child processes at Ctrl-C ends them at this too."""


def _terminated(main_process: int) -> Any:
    """A handler of SIGTERM: the main process says so and ends its children, a forked child just ends."""

    def handler(number: int, frame: Any) -> None:
        if os.getpid() != main_process:
            os._exit(143)
        raise Terminated

    return handler


def _import(names: list[str]) -> None:
    """Import modules that register models of the user's own, from the working directory too."""
    if names and "" not in sys.path:
        sys.path.append("")
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise ConfigError(f"--import {name}: cannot be imported ({error})") from error


def _device(text: str) -> str:
    """``gpu`` is ``cuda``."""
    device = text.replace("gpu", "cuda")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ConfigError(f"--device: there is no device {text!r}; expected auto, cpu, cuda or gpu")
    return device


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="symspectra", description="Functional groups from several spectra at once.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Any, text: str, to: Any = commands) -> argparse.ArgumentParser:
        sub = to.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    p = add("predict", predict_cli.run, "functional groups of a molecule from its spectra")
    predict_cli.add_options(p)

    p = add("label", _label, "functional groups of molecules, by substructure")
    p.add_argument("smiles", nargs="+", metavar="SMILES")

    p = add("train", _train, "train one configuration, or read the run if it is in the store")
    p.add_argument("config", type=Path, help="TOML file of settings, or the config.json of a run")
    p.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings that override the file's")
    _import_option(p)
    p.add_argument("--threads", type=int, help="CPU threads")
    _store_options(p)

    p = add(
        "calibrate", _calibrate, "make a predictor of a run: calibration, thresholds, scores by subset of the spectra"
    )
    p.add_argument("config", type=Path, help="TOML file of settings, or the config.json of a run; trained if it is not")
    p.add_argument("--out", type=Path, required=True, help="folder to write")
    _store_options(p)

    p = add("plan", _plan, "list the runs that notebooks need, and which are done")
    p.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="by number or name; all by default")
    p.add_argument("--profile", default="demo", metavar="|".join(PROFILES))
    _store_options(p)

    p = add("reproduce", _reproduce, "train what is missing, execute the notebooks, write the figures")
    p.add_argument("--profile", default="demo", metavar="|".join(PROFILES))
    p.add_argument("--only", nargs="+", metavar="NOTEBOOK", help="notebooks by number, for example 02")
    p.add_argument("--workers", type=int, help="runs at a time; one a core on a CPU, one a GPU by default")
    p.add_argument(
        "--scheduler-file", type=Path, metavar="FILE", help="train on the workers of the Dask scheduler that wrote it"
    )
    _import_option(p)
    p.add_argument("--figures", type=Path, help="folder of the figures, figures/PROFILE by default")
    _store_options(p)

    data = commands.add_parser("data", help="extend the data sets").add_subparsers(required=True, metavar="COMMAND")
    p = add("build", _build, "simulate more molecules of the open data set; can be interrupted and resumed", data)
    p.add_argument("dataset", choices=["open"])
    p.add_argument("--max-heavy", type=int, default=20, help="largest number of heavy atoms (20)")
    p.add_argument("--molecules", type=int, help="how many to try; all that are missing by default")
    p.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    p.add_argument(
        "--records", type=Path, default=Path("runs/records"), help="folder for quantum records (runs/records)"
    )
    p.add_argument("--import", type=Path, dest="source", help="take the records of this folder and compute none")
    p.add_argument("--directory", type=Path, help="data set to extend; the installed one by default")

    p = add("prepare", data_cli.run, "prepare spectra: public collections, or a table of your own", data)
    data_cli.add_options(p)

    p = add("show", _show, "what the open data set holds", data)
    p.add_argument("dataset", choices=["open"])
    p.add_argument("--directory", type=Path, help="data set to show; the installed one by default")
    return parser


def _import_option(parser: argparse.ArgumentParser) -> None:
    text = "module to import first, for example one that registers a model of your own"
    parser.add_argument("--import", dest="imports", action="append", metavar="MODULE", default=[], help=text)


def _store_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, default=Path("runs"), help="folder of the runs (runs)")
    parser.add_argument("--device", default="auto", help="auto, cpu, or cuda (also called gpu)")


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


def _train(options: argparse.Namespace) -> None:
    import torch
    from tqdm import tqdm

    from symspectra.training.runs import run

    config = load_config(options.config, **parse_settings(options.settings))
    if options.threads:
        torch.set_num_threads(options.threads)
    with tqdm(total=config.training.epochs, unit="epoch") as bar:

        def report(epoch: dict[str, float]) -> None:
            bar.update(epoch["epoch"] + 1 - bar.n)
            bar.set_postfix(loss=f"{epoch['loss']:.3f}", validation=f"{epoch['validation_micro_f1']:.3f}")

        result = run(config, options.store, options.device, report=report)
    for split in ("validation", "test"):
        scores = result.metrics[split]
        print(split, *(f"{name} {scores[name]:.3f}" for name in ("micro_f1", "macro_f1", "exact_match")))
    print(result.path)


def _calibrate(options: argparse.Namespace) -> None:
    from symspectra.datasets.base import load_dataset
    from symspectra.predict.build import build
    from symspectra.training.runs import run

    config = load_config(options.config)
    card = build(run(config, options.store, options.device), load_dataset(config), options.out)
    for name, subset in card["subsets"].items():
        error = subset["calibration_error"]
        print(f"{name}: micro-F1 {subset['micro_f1']:.3f}, macro-F1 {subset['macro_f1']:.3f}", end=", ")
        print(f"calibration error {error['before']:.4f} before, {error['after']:.4f} after")
    print(options.out)


def _plan(options: argparse.Namespace) -> None:
    from symspectra.experiments.reproduce import describe, plan
    from symspectra.parallel import cores

    entries = plan(options.profile, options.store, options.notebooks)
    for config, done, seconds in entries:
        time = "" if seconds is None else f"{seconds:6.0f} s"
        print(f"{'done   ' if done else 'missing'} {time}  {describe(config)}")
    missing = [entry.seconds for entry in entries if not entry.done]
    known = [seconds for seconds in missing if seconds is not None]
    print(f"{len(entries)} runs, {len(missing)} missing", end="")
    if known:
        minutes = sum(known) / 60
        print(f"; {len(known)} of them take about {minutes:.1f} minutes of one core, ", end="")
        print(f"{minutes / cores():.1f} minutes on {cores()}", end="")
    print(f"\n{options.profile}: {load_profile(options.profile).description}")


def _reproduce(options: argparse.Namespace) -> None:
    from symspectra.experiments.reproduce import reproduce

    o = options
    reproduce(o.profile, o.only, o.store, o.figures, o.workers, o.device, scheduler_file=o.scheduler_file)


def _build(options: argparse.Namespace) -> None:
    from symspectra.datasets.base import OPEN_DIRECTORY
    from symspectra.datasets.open_data import build, import_records

    if options.workers < 1 or (options.molecules is not None and options.molecules < 0):
        raise ConfigError(
            f"--workers {options.workers}, --molecules {options.molecules}: expected at least 1, and 0 or more"
        )
    directory = options.directory or OPEN_DIRECTORY
    if options.source is not None:
        added = import_records(options.source, directory, options.workers)
    else:
        added = build(options.records, directory, options.max_heavy, options.molecules, options.workers)
    print(f"{added} molecules added to {directory}")


def _show(options: argparse.Namespace) -> None:
    from symspectra.datasets.base import OPEN_DIRECTORY
    from symspectra.datasets.open_data import summary

    for name, value in summary(options.directory or OPEN_DIRECTORY).items():
        print(f"{name.replace('_', ' ')}: {value}")


if __name__ == "__main__":
    sys.exit(main())
