import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symspectra.groups.table8 import IMPLICATIONS, NAMES, SMARTS, from_bits, label, to_bits

# One hundred small molecules: every group of Table 8, common rings and drugs, charged forms and odd ones.
DIVERSE = """
C CC CCO CO O=C=O C#N CC#N C=C C#C CC#CC C1CCCCC1 C1=CCCCC1 c1ccccc1 c1ccncc1 c1ccc2cccc2cc1 c1ccoc1 c1ccsc1
c1cc[nH]c1 Cc1ccccc1 Oc1ccccc1 Nc1ccccc1 O=[N+]([O-])c1ccccc1 OC(=O)c1ccccc1 CC(=O)O CC(=O)[O-] OC=O O=CO CC=O
O=CC=O C=O c1ccc(C=O)cc1 CC(C)=O O=C1CCCCC1 O=C1C=CC(=O)C=C1 O=c1cccc[nH]1 CC(=O)OC COC=O CCOC(=O)OCC CC(=O)OC(C)=O
O=COC=O CC(=O)OC=O CC(=O)Cl O=CCl CC(=O)F CCCl CCBr CI c1ccc(F)cc1 FC(F)(F)c1ccccc1 COC CCOCC C1CO1 C1CCOC1
COc1ccccc1 CC(=O)N CC(=O)NC CN(C)C=O CNC=O NC=O NC(N)=O NC(N)=S CC(N)=S CC(=S)N(C)C CC=S SC=S CS CCSCC CSSC CS(C)=O
C[S+](C)[O-] CS(C)(=O)=O CS(=O)(=O)O CS(=O)(=O)[O-] CS(=O)(=O)OC CS(=O)(=O)N CS(=O)(=O)NC(C)=O c1ccc(cc1)S(=O)(=O)Cl
COC(=O)N O=C(N)O[Si](C)(C)C O=C(N)OS(C)(=O)=O CN=C=O CN=C=S CN=NC c1ccc(cc1)N=Nc1ccccc1 CC=NC CC=N C=NC CC(C)=NO
CC=NN CNN NN CC(=O)NN CC=NNC(N)=O O=C1CCC(=O)N1 O=CNC=O C=CN C=C(N)C(=O)O C=CO CC(O)=CC(C)=O OC1=C(O)C(=O)OC1 C=CC=C
CP(C)C c1ccc(cc1)P(c1ccccc1)c1ccccc1 COP(OC)OC COP(=O)(OC)OC CC[NH3+] C[N+](C)(C)C NCC(=O)O OCC(O)CO
CC(=O)Oc1ccccc1C(=O)O CC(=O)Nc1ccc(O)cc1 Cn1cnc2c1c(=O)n(C)c(=O)n2C CN1CCCC1c1cccnc1 [2H]C([2H])([2H])O CC(=O)C(=O)O
O=C(O)C=CC(=O)O N#Cc1ccccc1 [Na+].CC(=O)[O-] B(O)(O)c1ccccc1 C[Si](C)(C)O
""".split()


def test_table_8_has_37_parsing_patterns_in_alphabetical_order():
    from rdkit import Chem

    assert len(NAMES) == len(SMARTS) == len(set(NAMES)) == 37
    assert list(NAMES) == sorted(NAMES, key=str.lower)
    assert (NAMES[0], NAMES[12], NAMES[36]) == ("Acid anhydride", "Carboxylic acid", "Thiol")
    assert all(Chem.MolFromSmarts(pattern) is not None for pattern in SMARTS)
    assert not any(" " in pattern for pattern in SMARTS)  # RDKit reads what follows a space as a name
    assert Chem.MolFromSmarts(SMARTS[9]).GetNumAtoms() == 6  # Arene; Table 8 prints five


@pytest.mark.parametrize(
    ("group", "yes", "no"),
    [
        ("Alcohol", ["CCO", "CC(=O)O", "Oc1ccccc1", "C=CO"], ["O", "COC", "CS(=O)(=O)O", "CC(=O)[O-]"]),
        ("Ether", ["COC", "CC(=O)OC", "CC(=O)OC(C)=O", "COC(=O)N"], ["c1ccoc1", "CCO", "O=C(N)O[Si](C)(C)C"]),
        ("Ester", ["CC(=O)OC", "CC(=O)OC(C)=O"], ["COC=O", "CCOC(=O)OCC", "CC(=O)O"]),
        ("Haloalkane", ["CCCl", "Fc1ccccc1", "CC(=O)Cl"], ["Cl", "CS(=O)(=O)Cl"]),
        (
            "Amine",
            ["CN", "O=[N+]([O-])c1ccccc1", "CS(=O)(=O)N", "CC(N)=S", "CC=NN", "Nc1ccccc1", "NN"],
            ["NC(N)=O", "CC(=O)N", "c1cc[nH]c1", "CC[NH3+]", "CN=C=O"],
        ),
        ("Aldehyde", ["CC=O", "CNC=O", "OC=O"], ["NC=O", "CN(C)C=O", "C=O", "COC=O", "CC(C)=O"]),
        ("Thial", ["CC=S"], ["CC=O", "CC(C)=S"]),
        ("Alkane", ["CC", "CO", "C1CCCCC1"], ["C", "C=C", "c1ccccc1", "FC(F)(F)F"]),
        ("Arene", ["Cc1ccccc1", "c1ccc2ccccc2c1"], ["c1ccncc1", "c1ccc2cccc2cc1", "C1CCCCC1", "c1cc[nH]c1"]),
        ("Thioamide", ["CC(N)=S", "NC(N)=S"], ["CC(N)=O"]),
        ("Sulfide", ["CSC", "c1ccsc1", "CSSC"], ["CS", "CS(C)=O"]),
        ("Imide", ["O=C1CCC(=O)N1", "O=CNC=O"], ["CC(=O)NC"]),
        ("Enamine", ["C=CN"], ["C=CCN", "Nc1ccccc1"]),
        ("Ketone", ["CC(C)=O", "O=C1C=CC(=O)C=C1"], ["O=c1cccc[nH]1", "CC=O"]),
        ("Carboxylic acid", ["CC(=O)O", "OC=O"], ["CC(=O)[O-]", "CC(=O)OC"]),
        ("Sulfonic acid", ["CS(=O)(=O)O"], ["CS(=O)(=O)[O-]", "CS(=O)(=O)OC"]),
        ("Sulfoxide", ["CS(C)=O"], ["C[S+](C)[O-]", "CS(C)(=O)=O"]),
        ("Imine", ["CC=NC", "CC=N", "CC(C)=NC"], ["C=NC", "CC=NN", "c1ccncc1"]),
        ("Phenol", ["Oc1ccccc1"], ["OCc1ccccc1", "OC1CCCCC1"]),
    ],
)
def test_measured_behaviour_of_the_patterns(group, yes, no):
    column = NAMES.index(group)
    assert label(yes)[:, column].tolist() == [True] * len(yes)
    assert label(no)[:, column].tolist() == [False] * len(no)


def test_implications_hold_on_diverse_molecules():
    assert len(set(DIVERSE)) >= 100
    y = label(DIVERSE)
    assert y.any(0).all(), "a group that no molecule of the list has tests nothing"
    for premise, consequence in IMPLICATIONS:
        assert (y[:, consequence] | ~y[:, premise]).all(), (NAMES[premise], NAMES[consequence])
    numbers = {(premise + 1, consequence + 1) for premise, consequence in IMPLICATIONS}
    assert numbers == {(13, 3), (27, 3), (15, 3), (16, 17), (1, 17), (2, 18), (14, 6)}


@pytest.mark.parametrize("bad", ["C1CC", "", "CC O", "c1cc", None])
def test_unparsable_smiles_names_row_and_smiles(bad):
    with pytest.raises(ValueError, match=r"row 1: ") as error:
        label(["CC", bad, "CO"])
    assert repr(bad) in str(error.value)


def test_one_string_is_refused_and_no_molecule_is_fine():
    with pytest.raises(TypeError, match="sequence"):
        label("CCO")
    assert label([]).shape == (0, 37)


@given(st.lists(st.lists(st.booleans(), min_size=37, max_size=37), min_size=1, max_size=5))
def test_bits_round_trip(rows):
    y = np.array(rows)
    bits = to_bits(y)
    assert bits.dtype == np.uint64
    assert [int(b) for b in bits] == [sum(1 << k for k, on in enumerate(row) if on) for row in rows]
    assert np.array_equal(from_bits(bits), y)


def test_bad_bits_and_labels_are_refused():
    with pytest.raises(ValueError, match="row 1"):
        from_bits(np.array([3, 1 << 37], dtype=np.uint64))
    with pytest.raises(ValueError, match="row 0"):
        from_bits(np.array([-1]))
    with pytest.raises(ValueError, match="integers"):
        from_bits(np.array([1.5]))
    with pytest.raises(ValueError, match="shape"):
        to_bits(np.zeros((2, 36), dtype=bool))
    with pytest.raises(ValueError, match="0 and 1"):
        to_bits(np.full((2, 37), 2))


def test_names_do_not_import_rdkit():
    code = "import sys, symspectra.groups.table8 as f; assert len(f.NAMES) == 37 and 'rdkit' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
