import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fit_fragmentation import (
    evaluate,
    fit,
    is_fit_row,
    read_references,
    square_root_cosine,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from symspectra.simulation import fragmentation
from symspectra.simulation.fragmentation import (
    DESCRIPTORS,
    MAX_PEAKS,
    enumerate_fragments,
    fragment,
    fragment_tree,
    heavy_atom_graph,
    ions,
    load_parameters,
    spectrum_from_ions,
)

CAFFEINE = "Cn1c(=O)c2c(ncn2C)n(C)c1=O"
MOLECULES = [CAFFEINE, "CC(=O)Oc1ccccc1C(=O)O", "CCS(=O)(=O)NC(C)c1ccc(Cl)cc1", "OC1CCC2CC1CC2", "O=[N+]([O-])c1ccccc1"]
# The tree of cuts alone: no intensity model.
UNIFORM = {"bond_energy": 0.0}


def masses(smiles, polarity, parameters=None):
    return fragment(Chem.MolFromSmiles(smiles), None, polarity, parameters)[0]


@pytest.mark.parametrize(
    ("smiles", "polarity", "mz"),
    [
        (CAFFEINE, "positive", 195.0877),  # [M+H]+
        ("CC(=O)Oc1ccccc1C(=O)O", "negative", 179.0350),  # aspirin [M-H]-
        ("CC(=O)Oc1ccccc1C(=O)O", "negative", 93.0346),  # phenoxide
        ("CCCc1ccccc1", "positive", 91.0542),  # C7H7+
        ("CCCBr", "negative", 78.9189),  # Br-
    ],
)
def test_exact_masses(smiles, polarity, mz):
    all_mz, _ = ions(fragment_tree(Chem.MolFromSmiles(smiles), None), polarity, ())
    assert np.abs(all_mz - mz).min() < 1e-4


def test_precursor_is_the_heaviest_formula_at_zero_shift():
    mz, table = ions(
        fragment_tree(Chem.MolFromSmiles(CAFFEINE), None), "positive", ("bond_energy", "hydrogen_shift_squared")
    )
    whole = table.sum(axis=1) == 0
    np.testing.assert_allclose(mz[whole], [195.08765], atol=1e-5)
    assert mz.max() <= 195.08766


@pytest.mark.parametrize("smiles", MOLECULES)
@pytest.mark.parametrize("polarity", ["positive", "negative"])
def test_peak_list_is_sorted_and_limited(smiles, polarity):
    mz, intensity = fragment(Chem.MolFromSmiles(smiles), None, polarity)
    assert 1 < len(mz) <= MAX_PEAKS
    assert (np.diff(mz) > 0).all()
    assert intensity.max() == 1 and intensity.min() >= 0.01


def test_ring_needs_two_cuts_and_chain_one():
    ring = Chem.MolFromSmiles("C1CCCCC1")
    _, table = ions(fragment_tree(ring, None), "positive", ("bond_energy", "lost_atoms"))
    assert table[table[:, 1] > 0, 0].min() == pytest.approx(2)
    _, table = ions(fragment_tree(Chem.MolFromSmiles("CCCCCC"), None), "positive", ("bond_energy", "lost_atoms"))
    assert table[table[:, 1] > 0, 0].min() == pytest.approx(1)


def test_fragments_are_connected():
    mol = Chem.MolFromSmiles("OC1CCC2CC1CC2Cc1ccc2ccccc2c1")
    for mask in enumerate_fragments(heavy_atom_graph(mol, None)).tolist():
        atoms = [i for i in range(mol.GetNumAtoms()) if mask >> i & 1]
        assert "." not in Chem.MolFragmentToSmiles(mol, atoms)


def test_wiberg_orders_scale_the_energy():
    mol = Chem.MolFromSmiles("CCO")
    with_hydrogens = Chem.AddHs(mol).GetNumBonds()
    _, formal = ions(fragment_tree(mol, None), "positive", ("bond_energy",))
    _, doubled = ions(fragment_tree(mol, np.full(with_hydrogens, 2.0)), "positive", ("bond_energy",))
    np.testing.assert_allclose(doubled, 2 * formal, atol=2e-6)  # energies are rounded to 1e-6
    _, explicit = ions(fragment_tree(Chem.AddHs(mol), np.full(with_hydrogens, 2.0)), "positive", ("bond_energy",))
    np.testing.assert_allclose(explicit, doubled)
    np.testing.assert_array_equal(fragment(mol, None, "positive"), fragment(Chem.AddHs(mol), None, "positive"))


@pytest.mark.parametrize("smiles", ["ClC(Cl)(Cl)Cl", "FC(F)=C(F)F", "N#CC#N"])
def test_without_hydrogen_there_is_no_negative_spectrum(smiles):
    mz, intensity = fragment(Chem.MolFromSmiles(smiles), None, "negative")
    assert len(mz) == len(intensity) == 0
    assert len(masses(smiles, "positive")) > 0


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(MOLECULES), st.randoms(use_true_random=False), st.sampled_from(["positive", "negative"]))
def test_atom_order_does_not_matter(smiles, random, polarity):
    mol = Chem.MolFromSmiles(smiles)
    order = list(range(mol.GetNumAtoms()))
    random.shuffle(order)
    mz, intensity = fragment(mol, None, polarity)
    other_mz, other = fragment(Chem.RenumberAtoms(mol, order), None, polarity)
    np.testing.assert_array_equal(mz, other_mz)
    np.testing.assert_allclose(intensity, other, atol=2e-6)


@pytest.mark.parametrize("smiles", ["C12C3C4C1C5C2C3C45", "C1CC2CCC1CC2", "c1cc2ccc3cccc4ccc(c1)c2c34"])
def test_cages_are_bounded(smiles):
    graph = heavy_atom_graph(Chem.MolFromSmiles(smiles), None)
    n = len(enumerate_fragments(graph))
    assert 1 < n <= fragmentation.MAX_SIDES + 2 * fragmentation.MAX_FRAGMENTS + 1


def test_peaks_of_equal_formula_are_summed():
    mz, intensity = spectrum_from_ions(np.array([50.0, 40.0, 50.0, 30.0]), np.log([0.5, 0.5, 0.5, 0.009]))
    np.testing.assert_allclose(mz, [40, 50])
    np.testing.assert_allclose(intensity, [0.5, 1])


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("[H][H]", "0 heavy atoms"),
        ("C" * 64, "64 heavy atoms"),
        ("C[Hg]C", "Hg"),
    ],
)
def test_bad_molecules_are_refused(smiles, message):
    with pytest.raises(ValueError, match=message):
        masses(smiles, "positive", UNIFORM)


def test_shipped_parameters_are_few_and_have_provenance():
    content = json.loads(fragmentation.PARAMETERS.read_text())
    for values in load_parameters().values():
        assert len(values) <= 8 and set(values) <= set(DESCRIPTORS)
    assert len(content["provenance"]["sha256"]) == 64
    assert set(content["held_out"]) == {"positive", "negative"}


def test_square_root_cosine_closed_forms():
    a = (np.array([50.0, 60.0]), np.array([1.0, 3.0]))
    assert square_root_cosine(a, a) == pytest.approx(1)
    assert square_root_cosine(a, (a[0] + 0.02, a[1])) == 0
    assert square_root_cosine(a, (np.array([60.005]), np.array([9.0]))) == pytest.approx(np.sqrt(3 / 4))
    assert square_root_cosine(a, (np.zeros(0), np.zeros(0))) == 0


def test_fit_recovers_spectra_made_by_the_model(tmp_path):
    references = read_references(written_references(tmp_path))
    figures = evaluate(references, "positive", fit(references, "positive"))
    assert figures["square_root_cosine"] > 0.95


def written_references(folder, column="msms_{}_40ev"):
    rows = {"smiles": MOLECULES}
    for polarity, parameters in load_parameters().items():
        spectra = [fragment(Chem.MolFromSmiles(s), None, polarity, parameters) for s in MOLECULES]
        rows[column.format(polarity)] = [[[m, 100 * i] for m, i in zip(*s, strict=True)] for s in spectra]
    pq.write_table(pa.table(rows), folder / "rows.parquet")
    return folder / "rows.parquet"


def test_reference_files_of_both_releases_are_read_and_bad_ones_named(tmp_path):
    assert len(read_references(written_references(tmp_path, "msms_cfmid_{}_40ev"))) == len(MOLECULES)
    rows = {"smiles": ["C("], "msms_positive_40ev": [[[1.0, 1.0]]], "msms_negative_40ev": [[[1.0, 1.0]]]}
    pq.write_table(pa.table(rows), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match="bad.parquet: row 0: expected a SMILES"):
        read_references(tmp_path / "bad.parquet")


@pytest.mark.parametrize("polarity", ["positive", "negative"])
def test_held_out_molecules_resemble_their_own_spectrum(dev_file, polarity):
    path = dev_file("alberts", "example_data_1.parquet")
    held_out = [r for r in read_references(path) if not is_fit_row(r.smiles)]
    figures = evaluate(held_out, polarity, load_parameters()[polarity])
    assert figures["square_root_cosine"] > 0.3
    assert figures["square_root_cosine"] > 5 * figures["square_root_cosine_wrong_molecule"]
