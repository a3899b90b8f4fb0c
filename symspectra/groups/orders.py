"""In which order the decoder predicts the functional groups (paper section 2.2.4, Observation 8, Table 4)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from symspectra.errors import suggest
from symspectra.groups.table8 import NAMES

# Seniority of classes in IUPAC nomenclature, as Table 8 numbers: acids, anhydrides, esters, acyl halides, amides,
# nitriles, aldehydes, ketones, hydroxy compounds, amines, then the classes that are named by a prefix only, and the
# hydrocarbons last. Esters of lower acids (31 sulfonate, 12 carbamate) follow 16 ester, amides the rank of their acid,
# enol and enamine their parent class. The paper prints of its own order only the relative sequence 13, 16, 8, 9, 22.
_IUPAC = (
    *(13, 33, 1, 16, 31, 12, 2, 8, 36, 30, 21, 26, 4, 35, 25, 3, 27, 15, 37),
    *(9, 14, 22, 19, 20, 11, 28, 17, 29, 34, 32, 23, 24, 18, 10, 6, 7, 5),
)

FIXED: dict[str, tuple[int, ...]] = {
    "iupac": tuple(number - 1 for number in _IUPAC),
    "alphabetical": tuple(range(len(NAMES))),  # Table 8 is in alphabetical order
    "given": tuple(range(len(NAMES))),  # the one order of labels of one's own
}
ORDERS = (*FIXED, "mutual_information", "gnn")


def label_order(name: str, y_train: np.ndarray | Tensor | None = None) -> tuple[int, ...]:
    """The permutation in which the decoder visits the 37 groups: 0-based indices into `table8.NAMES`, by step.

    ``"iupac"`` (seniority of classes, the paper's choice) and ``"alphabetical"`` (Table 8) do not look at the labels;
    ``"mutual_information"`` and ``"gnn"`` are learned from ``y_train``, the labels (molecule, 37) of the training set
    (`symspectra.groups.graphs`). Paper, section 2.2.4, Table 4 and Appendix L.

    Raises
    ------
    ValueError
        Unknown name (the message gives the nearest known one), or no labels (molecule, 37) for a learned order.
    """
    if name not in ORDERS:
        raise ValueError(f"unknown label order {name!r}: {suggest(str(name).lower(), ORDERS)}")
    if name in FIXED:
        return FIXED[name]
    if y_train is None:
        raise ValueError(f"label order {name!r} is learned from labels: y_train must hold those of the training set")
    if tuple(y_train.shape[1:]) != (len(NAMES),):
        raise ValueError(f"y_train has shape {tuple(y_train.shape)}; expected (molecule, {len(NAMES)})")
    from symspectra.groups.graphs import gnn_order, information_order

    return (information_order if name == "mutual_information" else gnn_order)(y_train).order
