"""The command line: what it prints, and one sentence with status 2 for bad input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from symspectra.cli.main import main, parse_settings
from symspectra.errors import ConfigError


def test_label_prints_the_groups_with_their_numbers(capsys):
    assert main(["label", "CCO", "C"]) == 0
    assert capsys.readouterr().out.splitlines() == ["CCO\t3 Alcohol, 5 Alkane", "C\tnone of the 37 groups"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["label", "CCO", "CCC)"], ["row 1", "CCC)"]),
        (["train", "nowhere.toml"], ["nowhere.toml", "no such file"]),
        (["plan", "--profile", "dem"], ["dem", "did you mean 'demo'"]),
        (["plan", "99"], ["99", "00_quickstart"]),
        (["reproduce", "--profile", "smoke", "--only", "2_performance"], ["did you mean '02_performance'"]),
        (["train", "nowhere.toml", "--import", "no_such_module"], ["--import no_such_module"]),
        (["reproduce", "--profile", "smoke", "--device", "tpu"], ["'tpu'", "cuda"]),
        (["train", "/dev/zero"], ["/dev/zero", "not a file"]),
        (["data", "build", "open", "--molecules", "-5"], ["-5"]),
        (["reproduce", "--profile", "smoke", "--workers", "0"], ["workers is 0"]),
        (["data", "prepare", "peaks", "--table", "/dev/zero", "--out", "new"], ["/dev/zero", "not a file"]),
        (["data", "prepare", "experimental", "--massbank", "/dev/zero", "--out", "new"], ["/dev/zero", "not a file"]),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, words, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("symspectra: ") and "Traceback" not in error
    assert all(word in error for word in words)


def test_what_has_no_end_or_is_too_large_is_not_prepared(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.txt")
    with open(tmp_path / "sparse.csv", "wb") as file:
        file.truncate(2**31)
    for options, words in (
        (["experimental", "--massbank", tmp_path], "pipe.txt: not a file"),
        (["alberts", "--source", tmp_path], "pipe.txt: not a file"),
        (["peaks", "--table", tmp_path / "sparse.csv"], "sparse.csv: has 2147 MB; expected at most 2000 MB"),
    ):
        assert main(["data", "prepare", *map(str, options), "--out", str(tmp_path / "new")]) == 2
        assert words in capsys.readouterr().err and not (tmp_path / "new").exists()
    assert main(["data", "build", "--smiles", str(tmp_path / "pipe.txt"), "--out", str(tmp_path / "new")]) == 2
    assert "pipe.txt: not a file; expected a list of SMILES" in capsys.readouterr().err


def test_a_predictor_that_cannot_be_written_is_refused_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("symspectra.training.runs.run", None)
    (tmp_path / "run.toml").write_text("epochs = 1")
    for out in (tmp_path, tmp_path / "run.toml" / "new"):
        assert main(["calibrate", str(tmp_path / "run.toml"), "--out", str(out)]) == 2
        assert f"{tmp_path}" in capsys.readouterr().err


def test_settings_have_the_types_of_the_configuration():
    settings = parse_settings(["lr=1e-3", "seed=2", "nuisance=false", "modalities=ir,c13", "order=alphabetical"])
    assert settings == {"lr": 1e-3, "seed": 2, "nuisance": False, "modalities": ("ir", "c13"), "order": "alphabetical"}
    assert parse_settings(["pools=(4, 4)", "modalities=ir"]) == {"pools": (4, 4), "modalities": ("ir",)}
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        parse_settings(["seed"])


def test_train_reads_a_file_and_settings_and_prints_the_scores(tmp_path, capsys):
    (tmp_path / "tiny.toml").write_text('model = "symspectra"\nmodalities = ["ir"]\nmolecules = 200\nepochs = 1\n')
    small = ["stem=4", "channels=16", "heads=1", "pools=(10,5)", "hidden=16", "batch=32"]
    options = ["--store", str(tmp_path / "runs"), "--device", "cpu"]
    command = ["train", str(tmp_path / "tiny.toml"), *small]
    assert main([*command, *options]) == 0
    printed = capsys.readouterr().out
    assert "validation micro_f1" in printed and "test micro_f1" in printed
    assert len(list((tmp_path / "runs").glob("*/DONE"))) == 1
    for order in ([*command, "chanels=3", *options], [*command, *options, "chanels=3"]):
        assert main(order) == 2
        assert "did you mean 'channels'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, *options, "--sed", "1"])


def test_show_counts_the_molecules(capsys):
    assert main(["data", "show", "open"]) == 0
    molecules = int(capsys.readouterr().out.splitlines()[0].removeprefix("molecules: "))
    assert molecules >= 5000


def test_plan_counts_what_is_missing(tmp_path, capsys):
    assert main(["plan", "02", "--profile", "smoke", "--store", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    runs = [line for line in lines if line.startswith("missing")]
    assert runs and f"{len(runs)} runs, {len(runs)} missing" in lines[len(runs)]


def test_plan_looks_where_reproduce_writes(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "13_own.ipynb").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    stores = []
    monkeypatch.setattr(
        "symspectra.experiments.reproduce.plan", lambda profile, store, names: stores.append(store) or []
    )
    assert main(["plan"]) == 0 and stores == [tmp_path / "runs"]


def test_gpu_means_cuda_and_a_module_is_imported_first(tmp_path, monkeypatch, capsys):
    (tmp_path / "registers_a_model.py").write_text("print('registered')\n")
    monkeypatch.chdir(tmp_path)
    options = ["--device", "gpu", "--import", "registers_a_model"]
    for command in (["train", "nowhere.toml", *options], ["calibrate", "nowhere.toml", *options, "--out", "new"]):
        assert main(command) == 2
        assert capsys.readouterr().out == "registered\n"
        sys.modules.pop("registers_a_model")


def test_a_signal_is_said_and_that_the_command_goes_on_where_it_does(tmp_path, monkeypatch, capsys):
    def hit(number):
        os.kill(os.getpid(), number)
        time.sleep(10)  # the signal ends the sleep

    monkeypatch.setattr("symspectra.groups.table8.label", lambda smiles: hit(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert main(["label", "C"]) == 143
    assert capsys.readouterr().err == "symspectra: terminated\n" and signal.getsignal(signal.SIGTERM) is before
    (tmp_path / "run.toml").write_text("epochs = 1")
    monkeypatch.setattr("symspectra.training.runs.run", lambda *a, **b: hit(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        assert main(["train", str(tmp_path / "run.toml")]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted; the same command goes on" in capsys.readouterr().err


def test_the_face_is_lazy_and_predicting_imports_no_training():
    code = """import sys, symspectra
assert "torch" not in sys.modules
import symspectra.predict.batch
answer = symspectra.predict({"c13": "171.36, 60.49, 21.04, 14.19"})
assert "Ester 0.9" in repr(answer) and len(repr(answer).splitlines()) <= 5, repr(answer)
assert not [name for name in sys.modules if name.startswith("symspectra.training")]
from symspectra import Config, label, load_profile, predict, read, run
"""
    subprocess.run([sys.executable, "-c", code], check=True)
