import numpy as np
import pytest
import torch

from symspectra.config import Config
from symspectra.datasets.base import load_dataset
from symspectra.errors import ReadError
from symspectra.groups.table8 import NAMES, label, possible
from symspectra.spectra.conversion import prepare
from symspectra.spectra.formula import ELEMENTS, STEP, formula_vectors, formulas, parse_formula


@pytest.mark.parametrize(
    "text, atoms",
    [
        ("C9H6O2", {"C": 9, "H": 6, "O": 2}),
        ("C₁₀H₁₄BrN", {"C": 10, "H": 14, "Br": 1, "N": 1}),
        ("C 2 H 6 O", {"C": 2, "H": 6, "O": 1}),
        ("CH3CH2OH", {"C": 2, "H": 6, "O": 1}),
        ("CCl4", {"C": 1, "Cl": 4}),
    ],
)
def test_a_formula_is_counted(text, atoms):
    spectrum = parse_formula(text)
    assert {e: n for e, n in zip(ELEMENTS, spectrum.y.astype(int).tolist(), strict=True) if n} == atoms
    assert prepare(spectrum, "formula").vector.shape == (600,)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no molecular formula"),
        ("c9h6o2", "no molecular formula"),
        ("C9H6O2.HCl", "no molecular formula"),
        ("[C9H7O2]+", "no molecular formula"),
        ("C6H15Si", "has Si"),
        ("C9H7O2", "of no neutral molecule"),  # an odd number of hydrogens: [M+H]+
        ("CH6", "of no neutral molecule"),
        ("H2O", "1 to 500 carbon atoms"),
        ("C9999H2", "1 to 500 carbon atoms"),
    ],
)
def test_what_is_no_formula_of_a_molecule_is_refused(text, words):
    with pytest.raises(ReadError, match=words):
        parse_formula(text)


def test_formulas_of_structures_are_those_of_rdkit():
    from rdkit import Chem
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    smiles = ("CCOC(C)=O", "Brc1ccncc1", "CC(=O)[O-]", "C[Si](C)(C)C", "O", "CS(=O)(=O)NCP")
    counts = formulas(smiles)
    assert counts.any(axis=1).tolist() == [True, True, False, False, False, True]
    for text, row in zip(smiles, counts, strict=True):
        if row.any():
            assert (parse_formula(CalcMolFormula(Chem.MolFromSmiles(text))).y == row).all()


def test_the_vector_tells_formulas_apart_within_0_and_1():
    x = formula_vectors(formulas(("CCO", "COC", "CCN", "CC=O", "c1ccccc1Br")))
    assert x.min() == 0 and x.max() <= 1
    assert np.array_equal(x[0], x[1])  # isomers
    assert len(np.unique(x[1:], axis=0)) == 4
    steps = x[:, : 36 * STEP].reshape(len(x), 36, STEP)
    assert (steps == steps[:, :, :1]).all() and not x[:, 36 * STEP :].any()


def test_no_molecule_has_a_group_that_its_formula_excludes():
    data = load_dataset(Config(dataset="uspto", molecules=3000, test_unseen=False))
    smiles = [data.ids[i] for i in range(0, len(data.ids), 4)]
    can = np.array([possible(dict(zip(ELEMENTS, row, strict=True))) for row in formulas(tuple(smiles))])
    y = label(smiles)
    assert (can | ~y).all()
    assert (~can).any(axis=0).sum() > 30  # it excludes something
    assert not possible({"C": 6, "H": 6})[[NAMES.index("Alcohol"), NAMES.index("Haloalkane")]].any()


def test_a_data_set_has_the_formula_beside_its_spectra():
    plain = load_dataset(Config(molecules=300, modalities=["ir", "h1"]))
    wide = load_dataset(Config(molecules=300, modalities=["ir", "h1", "formula"]))
    rows = torch.arange(5)
    x, present = wide.spectra(rows, draw=2)
    assert torch.equal(x[:, :2], plain.spectra(rows, draw=2)[0])
    assert present.all()
    assert torch.allclose(x[:, 2], torch.from_numpy(formula_vectors(formulas(wide.ids[:5]))), atol=1e-3)
    assert wide.digest != plain.digest and not wide.measured.any()
