import json
import os
import shutil
import zipfile
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import damage, marker_dataset, tiny

from symspectra.cli.main import main
from symspectra.config import Config
from symspectra.datasets.base import load_dataset
from symspectra.errors import DataError, ReadError
from symspectra.groups.table8 import NAMES
from symspectra.modalities import MODALITIES
from symspectra.models.registry import load_model
from symspectra.predict.batch import predict_table
from symspectra.predict.build import build, describe_subset, informative, seal
from symspectra.predict.calibration import Scaling
from symspectra.predict.evaluate import evaluate
from symspectra.predict.finetune import finetune
from symspectra.predict.predictor import SHIPPED, Predictor, predict, shipped, subset_key, subsets
from symspectra.predict.tables import read_molecules
from symspectra.spectra.spectrum import Spectrum
from symspectra.training.runs import run

ALL = (*MODALITIES, "formula")
ETHYL_ACETATE = "171.36, 60.49, 21.04, 14.19"


@pytest.fixture(scope="module")
def molecules():
    """Preprocessed spectra of some test molecules, and their groups."""
    data = load_dataset(Config(modalities=ALL))
    rows = data.rows("test")[:60]
    return *data.spectra(rows), data.y[rows].numpy()


def test_the_shipped_predictor_knows_all_subsets_and_finds_an_ester():
    predictor = shipped()
    assert set(predictor.card["subsets"]) == {subset_key(s) for s in subsets(ALL)}
    assert len(list(subsets(ALL))) == 63
    prediction = predict({"c13": ETHYL_ACETATE})
    by_name = {g.name: g for g in prediction.groups}
    assert tuple(by_name) == NAMES
    assert by_name["Ester"].predicted and by_name["Alkane"].predicted and not by_name["Nitrile"].predicted
    assert prediction.table(0.5)["probability"].is_monotonic_decreasing and len(prediction.table()) == 37


def test_fused_convolutions_give_the_probabilities_of_the_model(molecules):
    x, present, _ = molecules
    predictor = shipped()
    model, _ = load_model(SHIPPED / "model.safetensors")
    raw = model.predict(x, present).double().numpy()
    expected = Scaling(*predictor.card["subsets"][subset_key(ALL)]["scaling"])(raw)
    assert np.abs(predictor.probabilities(x, present) - expected).max() < 1e-4


def test_a_molecule_is_predicted_alike_alone_and_among_others_with_other_spectra(molecules):
    x, present, _ = molecules
    present = present.clone()
    present[::2, 1:] = False
    present[1::4, 0] = False
    x = x * present.unsqueeze(-1)
    together = shipped().probabilities(x, present)
    for i in (0, 1, 7, 12):
        assert np.abs(shipped().probabilities(x[i : i + 1], present[i : i + 1]) - together[i]).max() < 1e-4


def test_many_molecules_with_few_spectra_are_predicted_by_a_model_of_these_alone(molecules, monkeypatch):
    x, present, _ = molecules
    present = torch.zeros_like(present)
    present[:20, 1], present[20:45, :3], present[45:] = True, True, True
    x = x * present.unsqueeze(-1)
    answers = []
    for many in (1, len(x) + 1):
        monkeypatch.setattr("symspectra.predict.predictor.MANY", many)
        answers.append(shipped().probabilities(x, present))
    assert 0 < np.abs(answers[0] - answers[1]).max() < 1e-5


def test_a_molecule_without_spectra_is_refused(molecules):
    x, present, _ = molecules
    present = present.clone()
    present[3] = False
    with pytest.raises(ReadError, match="molecule 4 has no spectrum"):
        shipped().probabilities(x, present)
    with pytest.raises(ReadError, match="molecule 1 has no spectrum"):
        shipped().predict_prepared([{}])


def test_calibrated_probabilities_come_true_and_all_spectra_tell_more_than_one(molecules):
    x, present, y = molecules
    scores = shipped().card["subsets"]
    assert scores[subset_key(ALL)]["micro_f1"] > scores["c13"]["micro_f1"] + 0.1
    for subset in scores.values():
        error = subset["calibration_error"]
        assert error["after"] < error["before"]
    p = shipped().probabilities(x, present)
    assert abs(p.mean() - y.mean()) < 0.02


def test_groups_that_it_cannot_know_are_flagged():
    groups = predict({"h1": "1.26 (t, J = 7 Hz, 3H), 2.05 (s, 3H), 4.12 (q, J = 7 Hz, 2H)"}).groups
    for g, n in zip(groups, shipped().card["positives"]["train"], strict=True):
        assert g.note.startswith(f"cannot know: {n} training molecules") == (n < 30)
    assert any("not told apart by these spectra" in g.note for g in groups)


def test_unlike_spectra_are_warned_of_and_usual_ones_are_not(molecules):
    x, _, _ = molecules
    axis, y = np.linspace(400, 4000, 600), x[:, 0].numpy().clip(0)

    def warned(curves):
        predictions = [predict({"ir": Spectrum(axis, curve, "1/cm", "absorbance", "ir")}) for curve in curves]
        return [w for p in predictions for w in p.warnings if "unlike" in w]

    assert len(warned(y[:20])) <= 2
    backwards = warned(y[:20, ::-1])
    assert len(backwards) > 10 and "ir spectrum is unlike the training spectra" in backwards[0]


def test_what_is_known_is_said_and_weak_evidence_is_warned_of(monkeypatch):
    answer = predict({"c13": ETHYL_ACETATE})
    subset = shipped().card["subsets"]["c13"]
    assert (
        subset["spectra"] == "measured" and f"{subset['micro_f1']:.2f} on {subset['tested']} molecules" in answer.known
    )
    assert answer.warnings == ()
    monkeypatch.setitem(shipped().card["subsets"], "c13", subset | {"constant": subset["micro_f1"]})
    assert "hardly anything" in predict({"c13": ETHYL_ACETATE}).warnings[0]
    monkeypatch.setitem(shipped().card["subsets"], "c13", subset | {"threshold": 0.01})
    assert "the evidence is weak" in predict({"c13": ETHYL_ACETATE}).warnings[0]


def test_the_formula_excludes_groups_and_contradictions_are_named():
    answer = predict({"c13": ETHYL_ACETATE, "formula": "C4H8O2"})
    assert {g.name: g.probability for g in answer.groups}["Nitrile"] == 0 and answer.warnings == ()
    assert len(predict({"formula": "C4H8O2"}).groups) == 37
    (warning, *_) = predict({"c13": ETHYL_ACETATE, "formula": "C3H6O2"}).warnings
    assert warning == "the c13 list has 4 carbon atoms, the formula C3H6O2 3"


def test_a_paragraph_is_predicted_and_says_what_it_does_not_use():
    text = f"mp -84 °C; 13C NMR (CDCl3) {ETHYL_ACETATE}; HRMS (ESI) calcd for C4H9O2 [M+H]+ 89.0597, found 89.0598"
    answer = shipped().predict_text(text)
    assert set(answer.spectra) == {"c13", "formula"} and answer.warnings[0] == "'mp -84 °C' is not used"


def test_labelled_spectra_of_ones_own_are_scored(tmp_path, capsys):
    table = tmp_path / "own.csv"
    rows = [f'a,CCOC(C)=O,"{ETHYL_ACETATE}",C4H8O2', 'b,CC(C)=O,"206.7, 30.9",', "c,CCO,nothing,"]
    table.write_text("\n".join(["name,smiles,c13,formula", *rows]))
    scores, rejects = evaluate(shipped(), table)
    assert scores["molecules"].to_dict() == {"c13": 1, "c13+formula": 1, "all": 2} and list(rejects["name"]) == ["c"]
    assert ((scores["constant"] > 0) & (scores["micro_f1"] > 0)).all()
    assert main(["evaluate", str(table)]) == 0 and "c13+formula" in capsys.readouterr().out
    for column, words in (("smile", "smiles"), ("smiles", "'nothing' is no SMILES")):
        table.write_text(f"name,{column},c13\na,nothing,{ETHYL_ACETATE.split(',')[0]}\n")
        with pytest.raises(ReadError, match=words):
            evaluate(shipped(), table)


@pytest.mark.parametrize("meta, words", [({"ms_level": 1}, "MS1"),
                                         ({"precursor_mz": 30.0, "above_precursor": 61.0}, "m/z 61 lies")])  # fmt: skip
def test_a_mass_spectrum_of_another_kind_is_warned_of(meta, words):
    spectrum = Spectrum([43.0, 61.0], [100.0, 15.0], "m/z", "intensity", None, meta, peaks=True)
    assert words in predict({"msms_pos": spectrum}).warnings[0]


@pytest.mark.parametrize(
    "sources, message",
    [
        ({}, "no spectrum was given"),
        ({"c12": "77.0"}, "did you mean 'c13'"),
        ({"c13": "no-such-file.dx"}, "no-such-file.dx"),
        ({"c13": "512.0"}, "512"),
        ({"msms_pos": "MS (EI): m/z 43 (100), 61 (15)"}, "says electron ionisation"),
        ({"ei": "43:100 61:15"}, "has not learned electron ionisation"),
        ({"formula": "C4H9O2"}, "of no neutral molecule"),
    ],
)
def test_what_cannot_be_read_is_said(sources, message):
    with pytest.raises(ReadError, match=message):
        predict(sources)


def test_information_is_told_from_chance():
    rng = np.random.default_rng(0)
    y = rng.random((800, 4)) < [0.3, 0.3, 0.003, 0.01]
    p = np.where(y, 0.6, 0.4) + rng.normal(0, 0.1, y.shape)
    p[:, 1] = rng.random(800)
    assert informative(y, p).tolist()[:3] == [True, False, False]


def test_a_subset_is_described_from_validation_alone():
    rng = np.random.default_rng(1)
    y = rng.random((300, 37)) < 0.2
    p = np.clip(np.where(y, 0.7, 0.2) + rng.normal(0, 0.1, y.shape), 0.01, 0.99)
    first, second = (describe_subset(y, p, *test) for test in ((y[:50], p[:50]), (y[50:90], p[50:90])))
    for key in ("scaling", "threshold", "informative"):
        assert first[key] == second[key]


def test_a_run_becomes_a_predictor_that_is_read_back(tmp_path):
    data = marker_dataset()
    trained = run(tiny(withhold=0.3), tmp_path / "runs", "cpu", dataset=data)
    folder = tmp_path / "mine"
    card = build(trained, data, folder)
    assert set(card["subsets"]) == {subset_key(s) for s in subsets(data.modalities)}
    predictor = Predictor(folder)
    x, present = data.spectra(data.rows("test"))
    p = predictor.probabilities(x, present)
    assert np.isfinite(p).all() and p.shape == (len(x), 37)
    for name in ("README.md", "predictor.json"):
        (folder / name).write_text("{}")
    build(trained, data, folder)
    assert (folder / "README.md").exists()
    assert np.array_equal(Predictor(folder).probabilities(x, present), p)
    assert not (tmp_path / "mine.tmp").exists()
    with pytest.raises(DataError, match="is no predictor"):
        build(trained, data, tmp_path)  # the folder of the runs
    assert folder.exists()


FILES = "model.safetensors likeness.safetensors predictor.json manifest.json manifest.json.sha256".split()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["flipped middle", "a byte short", "empty", "missing"])
def test_a_damaged_file_is_named(tmp_path, name, kind):
    damage(shutil.copytree(SHIPPED, tmp_path / "p") / name, kind)
    with pytest.raises(DataError, match=name):
        Predictor(tmp_path / "p")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c.pop("subsets"), "'subsets'"),
        (lambda c: c["subsets"].pop("ir"), "'ir'"),
        (lambda c: c["subsets"]["ir"].pop("f1"), "'f1'"),
        (lambda c: c["positives"]["train"].pop(), "positives.train"),
        (lambda c: c["molecules"].pop("train"), "'train'"),
        (lambda c: c["subsets"]["ir"]["scaling"].append(1), "cannot be read"),
    ],
)
def test_what_a_wrong_card_lacks_is_named(tmp_path, change, named):
    card = shutil.copytree(SHIPPED, tmp_path / "p") / "predictor.json"
    content = json.loads(card.read_text())
    change(content)
    card.write_text(json.dumps(content))
    seal(card.parent)
    with pytest.raises(DataError, match=f"predictor.json.*{named}"):
        Predictor(card.parent)


def table_of(folder, rows):
    path = folder / "table.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_table_of_molecules_and_what_could_not_be_read(tmp_path):
    curve = "".join(f"{x},{x % 700 / 700}\n" for x in range(400, 4000, 4))
    (tmp_path / "curve.csv").write_text("cm-1,absorbance\n" + curve)
    rows = [
        {"name": "a", "c13": ETHYL_ACETATE, "ir": "curve.csv"},
        {"name": "b", "c13": "", "ir": "lost.dx"},
        {"name": "c", "c13": "900.5", "ir": "curve.csv"},
        {"name": "d", "c13": "14.1, 22.7", "ir": ""},
    ]
    table, rejects = predict_table(shipped(), table_of(tmp_path, [*rows, {"name": ""}, {"name": " "}]))
    assert table["name"].tolist() == ["a", "c", "d"] and table["spectra"].tolist() == ["ir+c13", "ir", "c13"]
    assert rejects["name"].tolist() == ["b", "c"] and "lost.dx" in rejects["reason"][0]
    few = predict_table(SimpleNamespace(modalities=("ir",), labels=NAMES, answers=None), table_of(tmp_path, rows[3:]))
    assert few[0].empty and few[1]["reason"].tolist() == ["the predictor has not learned c13; it reads ir"]
    alone = [g.probability for g in predict({"c13": "14.1, 22.7"}).groups]
    assert table.loc[2, list(NAMES)].astype(float).to_numpy() == pytest.approx(alone, abs=2e-4)


def test_a_parquet_table_of_spectra(tmp_path):
    rows = [
        {"name": "a", "modality": "c13", "x": [171.36, 60.49, 21.04, 14.19], "y": [1.0] * 4, "peaks": True},
        {"name": "a", "modality": "msms_pos", "x": [43.0, 61.0], "y": [100.0, 40.0], "peaks": True},
        {"name": "b", "modality": "ir", "x": [400.0, 4000.0], "y": [0.0, 1.0], "peaks": False},
    ]
    path = tmp_path / "table.parquet"
    pd.DataFrame(rows).to_parquet(path)
    table, rejects = predict_table(shipped(), path)
    assert table["spectra"].tolist() == ["c13+msms_pos"] and "Ester" in table["groups"][0]
    assert rejects["name"].tolist() == ["b"] and "y_unit" in rejects["reason"][0]


@pytest.mark.parametrize(
    "rows, message",
    [
        ([{"ir": "a.dx"}], "there is no column 'name'"),
        ([{"name": "a", "infrared": "a.dx"}], "column 'infrared'"),
        ([{"name": "a", "ir": "a.dx"}, {"name": "a", "ir": "b.dx"}], "row 3: a second molecule 'a'"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, rows, message):
    with pytest.raises(ReadError, match=message):
        predict_table(shipped(), table_of(tmp_path, rows))


def test_the_command_line_answers_as_a_table_and_as_json(capsys, tmp_path):
    assert main(["predict", "--c13", ETHYL_ACETATE, "--steps", "--out", str(tmp_path / "answer.csv")]) == 0
    out = capsys.readouterr().out
    assert "Ester" in out and "600 points" in out
    assert len(pd.read_csv(tmp_path / "answer.csv")) == 37
    assert main(["predict", "--c13", ETHYL_ACETATE, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["groups"]) == 37 and answer["spectra"]["c13"] and isinstance(answer["warnings"], list)


def test_a_batch_on_the_command_line(capsys, tmp_path):
    path = table_of(tmp_path, [{"name": "a", "c13": ETHYL_ACETATE}, {"name": "b", "c13": "lost.dx"}])
    assert main(["predict", "--batch", str(path), "--out", str(tmp_path / "out.csv")]) == 0
    assert "1 spectra could not be read" in capsys.readouterr().err
    assert pd.read_csv(tmp_path / "out.csv")["name"].tolist() == ["a"]
    assert pd.read_csv(tmp_path / "out.rejects.csv")["name"].tolist() == ["b"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "expected spectra (--ir, --c13"),
        (["--c13", "21.0", "--batch", "t.csv"], "one of the three"),
        (["--batch", "t.csv"], "--out FILE"),
        (["--c13", "21.0", "--ir", "a.dx", "--block", "2"], "of which spectrum"),
        (["--c13", "21.0", "--y-unit", "ir=absorbance"], "c13"),
        (["--c13", "21.0", "--block", "two"], "expected a number"),
        (["--ir", "nothing.dx"], "nothing.dx"),
        (["--batch", "nothing.csv", "--out", os.devnull + "s"], "nothing.csv"),
    ],
)
def test_the_command_line_refuses_in_a_sentence(capsys, monkeypatch, arguments, message):
    monkeypatch.setattr("symspectra.predict.predictor.Predictor", None)  # before the predictor is read
    assert main(["predict", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["big.csv", "big.parquet", "pipe.csv", "/dev/zero", "folder.csv", "unpacks.parquet", "t.zip"]
)
def test_what_is_no_table_is_refused_before_it_is_read(tmp_path, monkeypatch, name):
    path = tmp_path / name
    if "big" in name:
        with open(path, "wb") as file:
            file.truncate(2**31)
    elif "pipe" in name:
        os.mkfifo(path)
    elif "folder" in name:
        path.mkdir()
    elif "unpacks" in name:
        monkeypatch.setattr("symspectra.predict.tables.LIMIT_VALUES", 1000)
        pd.DataFrame({"name": "a", "modality": "ir", "x": [[0.0] * 600], "y": [[0.0] * 600]}).to_parquet(path)
    elif "zip" in name:  # a bomb, perhaps: it is not unpacked
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("table.csv", "name,c13\na,21.0\n")
    with pytest.raises(ReadError, match=f"{path}: ((has|holds|not a file).*; expected|cannot be read as CSV)"):
        read_molecules(path)


def test_answers_are_not_written_where_they_cannot_be_or_over_what_is_read(tmp_path, capsys, monkeypatch):
    table, curve = table_of(tmp_path, [{"name": "a", "c13": ETHYL_ACETATE}]), tmp_path / "curve.csv"
    rejects = tmp_path / "out.rejects.csv"
    for path in (curve, rejects):
        path.write_bytes(table.read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("symspectra.predict.predictor.Predictor", None)  # nothing is computed
    for source, out, words in (
        (["--batch", str(table)], table, "is what is read"),
        (["--batch", str(rejects)], tmp_path / "out.csv", "is what is read"),
        (["--ir", str(curve)], curve, "is what is read"),
        (["--c13", "21.0"], tmp_path / "nowhere" / "out.csv", "there is no folder"),
        (["--c13", "21.0"], tmp_path, "is not a file"),
    ):
        assert main(["predict", *source, "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert words in error and str(out) in error
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_list_may_begin_with_a_minus(capsys):
    assert main(["predict", "--c13", "-4.5,18.3", "--steps"]) == 0
    assert "typed list of peaks" in capsys.readouterr().out


def test_a_predictor_learns_on_from_ones_own_spectra(tmp_path, capsys):
    chains = [f"{'C' * n}C(=O)O{'C' * m}" for n in range(1, 9) for m in range(1, 9)]
    shifts = [", ".join(f"{x:.1f}" for x in (173.0 + n / 10, 64.4, *np.linspace(14, 34, 4 + n % 5))) for n in range(64)]
    table = tmp_path / "own.csv"
    rows = [f'{i},{smiles},"{c13}"' for i, (smiles, c13) in enumerate(zip(chains, shifts, strict=True))]
    table.write_text("\n".join(["name,smiles,c13", *rows]))
    assert main(["finetune", str(table), "--out", str(tmp_path / "mine"), "--epochs", "2"]) == 0
    out = capsys.readouterr().out
    assert "before" in out and "after" in out and "micro_f1" in out
    own = Predictor(tmp_path / "mine")
    assert {g.name for g in own.predict({"c13": shifts[0]}).groups if g.predicted} >= {"Ester", "Alkane"}
    assert own.card["subsets"]["ir"] == shipped().card["subsets"]["ir"]
    table.write_text("\n".join(["name,smiles,c13", *rows[:20]]))
    with pytest.raises(DataError, match="20 molecules with spectra; expected at least 50"):
        finetune(shipped(), table, tmp_path / "other")
    with pytest.raises(DataError, match="holds files and is no predictor"):
        finetune(shipped(), table, tmp_path)
    assert not (tmp_path / "other").exists()
