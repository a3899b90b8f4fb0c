import pytest

from symspectra.functional_groups import NAMES
from symspectra.ordering import label_order


@pytest.mark.parametrize("name", ["iupac", "alphabetical"])
def test_order_is_a_permutation_of_the_37_groups(name):
    assert sorted(label_order(name)) == list(range(37))


def test_alphabetical_is_table_8():
    order = label_order("alphabetical")
    assert [NAMES[k] for k in order] == sorted(NAMES, key=str.lower)


def test_iupac_reproduces_the_relative_sequence_of_table_4():
    wanted = [13, 16, 8, 9, 22]
    assert [k + 1 for k in label_order("iupac") if k + 1 in wanted] == wanted


def test_iupac_puts_acids_first_and_hydrocarbons_last():
    order = [NAMES[k] for k in label_order("iupac")]
    assert order[:3] == ["Carboxylic acid", "Sulfonic acid", "Acid anhydride"]
    assert order[-4:] == ["Arene", "Alkene", "Alkyne", "Alkane"]
    senior = ["Nitrile", "Aldehyde", "Ketone", "Alcohol", "Thiol", "Amine", "Ether", "Haloalkane"]
    assert sorted(senior, key=order.index) == senior


@pytest.mark.parametrize(
    ("typed", "nearest"), [("IUPAC", "iupac"), ("iupack", "iupac"), ("alphabetic", "alphabetical")]
)
def test_unknown_order_is_refused_with_the_nearest_name(typed, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        label_order(typed)
