"""In which order the decoder predicts the functional groups (paper section 2.2.4, Observation 8, Table 4)."""

from __future__ import annotations

from difflib import get_close_matches

from symspectra.functional_groups import NAMES

# Seniority of classes in IUPAC nomenclature, as Table 8 numbers: acids, anhydrides, esters, acyl halides, amides,
# nitriles, aldehydes, ketones, hydroxy compounds, amines, then the classes that are named by a prefix only, and the
# hydrocarbons last. Esters of lower acids (31 sulfonate, 12 carbamate) follow 16 ester, amides the rank of their acid,
# enol and enamine their parent class. The paper prints of its own order only the relative sequence 13, 16, 8, 9, 22.
_IUPAC = (
    *(13, 33, 1, 16, 31, 12, 2, 8, 36, 30, 21, 26, 4, 35, 25, 3, 27, 15, 37),
    *(9, 14, 22, 19, 20, 11, 28, 17, 29, 34, 32, 23, 24, 18, 10, 6, 7, 5),
)

_ORDERS: dict[str, tuple[int, ...]] = {
    "iupac": tuple(number - 1 for number in _IUPAC),
    "alphabetical": tuple(range(len(NAMES))),  # Table 8 is in alphabetical order
}


def label_order(name: str) -> tuple[int, ...]:
    """The permutation in which the decoder visits the 37 groups.

    Parameters
    ----------
    name
        ``"iupac"`` (seniority of classes, the paper's choice) or ``"alphabetical"`` (Table 8 order).

    Returns
    -------
    0-based indices into `symspectra.functional_groups.NAMES`; element k is the group predicted at step k.

    Raises
    ------
    ValueError
        Unknown name; the message gives the nearest known one.

    References
    ----------
    Paper, section 2.2.4 and Table 4.
    """
    if name not in _ORDERS:
        nearest = get_close_matches(str(name).lower(), _ORDERS, n=1, cutoff=0.0)[0]
        raise ValueError(f"unknown label order {name!r}: did you mean {nearest!r}? Known: {', '.join(_ORDERS)}")
    return _ORDERS[name]
