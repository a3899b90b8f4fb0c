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

from symspectra.datasets.base import SHIPPED
from symspectra.simulation import fragmentation
from symspectra.simulation.fragmentation import (
    DESCRIPTORS,
    MAX_PEAKS,
    enumerate_fragments,
    fragment,
    fragment_tree,
    heavy_atom_graph,
    ions,
    isotope_peaks,
    load_parameters,
    spectrum_from_ions,
)
from symspectra.spectra.lines import read_rows

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
        ("C", "ei", 16.0308),  # M+.
        ("CC(C)=O", "ei", 58.0413),
        ("CC(C)=O", "ei", 43.0178),  # [M-CH3]+, acetyl
        ("Cc1ccccc1", "ei", 91.0542),  # tropylium
        ("CCCC(C)=O", "ei", 58.0413),  # of the rearrangement of McLafferty, odd-electron
        ("CCCl", "ei", 28.0308),  # [M-HCl]+.
        ("CCCN", "ei", 30.0338),  # alpha cleavage
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
@pytest.mark.parametrize("polarity", ["positive", "negative", "ei"])
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
@given(st.sampled_from(MOLECULES), st.randoms(use_true_random=False), st.sampled_from(["positive", "negative", "ei"]))
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
@pytest.mark.parametrize("ionisation", ["positive", "ei"])
def test_bad_molecules_are_refused(smiles, message, ionisation):
    with pytest.raises(ValueError, match=message):
        masses(smiles, ionisation, UNIFORM)


def test_electron_ionisation_obeys_the_nitrogen_rule():
    """Ions of even mass are odd-electron, and those with one nitrogen even-electron; both kinds occur."""
    for smiles in ("CCCCc1ccccc1", "CCNCc1ccccc1"):  # the only atom other than carbon is nitrogen
        tree = fragment_tree(Chem.MolFromSmiles(smiles), None)
        mz, table = ions(tree, "ei", ("odd_electron", "heteroatom_share"))
        odd_electron, nitrogen = table.T > 0
        np.testing.assert_array_equal(odd_electron, (np.rint(mz) % 2 == 0) != nitrogen)
        assert 0 < odd_electron.sum() < len(mz)


def test_isotopes_closed_forms():
    atoms = np.array([[1, 0, 0, 0, 1], [0, 0, 0, 0, 2], [6, 0, 0, 2, 0]], dtype=float)  # CBr, Br2, C6Cl2
    formula, mz, share = isotope_peaks(np.array([93.0, 158.0, 142.0]), atoms)
    whole = {f: np.bincount(np.rint(mz[formula == f]).astype(int), share[formula == f]) for f in range(3)}
    assert whole[0][95] / whole[0][93] == pytest.approx(0.973, abs=1e-3)
    assert whole[1][[158, 160, 162]] / whole[1][158] == pytest.approx([1, 2 * 0.9728, 0.9728**2], abs=1e-3)
    assert whole[2][[143, 144]] / whole[2][142] == pytest.approx([6 * 0.0108, 2 * 0.3196], abs=0.002)
    assert [whole[f].sum() for f in range(3)] == pytest.approx([1, 1, 1], abs=0.003)


def test_electron_ionisation_of_small_molecules():
    spectra = {}
    for smiles in ("C", "CC(C)=O", "Cc1ccccc1", "FC(F)(F)Br"):
        mz, intensity = fragment(Chem.MolFromSmiles(smiles), None, "ei")
        assert len(np.unique(np.rint(mz))) == len(mz)  # one peak per whole mass
        spectra[smiles] = dict(zip(np.rint(mz).astype(int).tolist(), intensity.tolist(), strict=True))
    assert {15, 16} <= set(spectra["C"]) <= set(range(12, 18))  # methane has no fragment, it loses hydrogen alone
    assert spectra["CC(C)=O"][43] == 1 > spectra["CC(C)=O"][58] > 0.1
    assert {91, 92} <= set(spectra["Cc1ccccc1"]) and max(spectra["Cc1ccccc1"]) == 93
    trifluoro = spectra["FC(F)(F)Br"]  # no hydrogen, whose loss would blur the pattern
    assert trifluoro[150] / trifluoro[148] == pytest.approx(0.973, abs=0.01)


def test_ms_ms_are_those_of_the_shipped_line_lists():
    for row in read_rows(SHIPPED["uspto"], 400)[0].slice(380, 6).to_pylist():
        tree = fragment_tree(Chem.MolFromSmiles(row["smiles"]), None)
        for name, polarity in (("msms_pos", "positive"), ("msms_neg", "negative")):
            mz, intensity = fragment(Chem.MolFromSmiles(row["smiles"]), None, polarity, tree=tree)
            assert row[f"{name}_mz"] == np.round(mz, 2).astype(np.float32).tolist()
            assert row[f"{name}_percent"] == np.maximum(1, np.round(100 * intensity)).tolist()


def test_shipped_parameters_are_few_and_have_provenance():
    content = json.loads(fragmentation.PARAMETERS.read_text())
    for ionisation, values in load_parameters().items():
        assert len(values) <= (20 if ionisation == "ei" else 8) and set(values) <= set(DESCRIPTORS)
    assert len(content["provenance"]["sha256"]) == len(content["ei"]["provenance"]["sha256"]) == 64
    assert set(content["held_out"]) == {"positive", "negative"}
    assert content["ei"]["held_out"]["ei"]["cosine"] > 2 * content["ei"]["held_out"]["ei"]["cosine_wrong_molecule"]


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
    for polarity in ("positive", "negative"):
        parameters = load_parameters()[polarity]
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
