"""From a quantum record to the line list of a molecule: infrared, NMR and MS/MS together."""

from __future__ import annotations

from typing import Any

import numpy as np
from rdkit import Chem

from symspectra.simulation.fragmentation import fragment
from symspectra.simulation.nmr import nmr_lines
from symspectra.simulation.quantum import QuantumRecord
from symspectra.simulation.shifts import molecule_with_geometry, predict_shifts

IR_RANGE = (350.0, 4500.0)  # cm-1, unscaled
IR_WEAKEST = 0.003  # of the strongest line


def line_lists(records: list[QuantumRecord]) -> list[dict[str, Any]]:
    """Line lists, one per record: the spectral columns of `symspectra.spectra.lines.COLUMNS`, and ``smiles``.

    Raises
    ------
    ValueError : a record whose atoms are not those of its SMILES.
    """
    molecules = [molecule_with_geometry(record.smiles, record.xyz_angstrom) for record in records]
    rows = []
    for record, mol, shifts in zip(records, molecules, predict_shifts(molecules), strict=True):
        row = {"smiles": record.smiles, **_infrared(record), "polar_h": _polar_hydrogens(mol)}
        row |= nmr_lines(mol, record.xyz_angstrom, shifts)
        orders = _bond_orders(record, mol)
        for name, polarity in (("msms_pos", "positive"), ("msms_neg", "negative")):
            mz, intensity = fragment(mol, orders, polarity)
            percent = np.maximum(1, np.round(100 * intensity)).astype(int)
            row |= {f"{name}_mz": np.round(mz, 2), f"{name}_percent": percent}
        rows.append({key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in row.items()})
    return rows


def _infrared(record: QuantumRecord) -> dict[str, np.ndarray]:
    """Lines in range and not negligible; 1 cm-1 and two significant digits are all that the method is good for."""
    cm1, km_mol = record.freq_cm1, record.inten_km_mol
    keep = (cm1 > IR_RANGE[0]) & (cm1 < IR_RANGE[1]) & (km_mol > IR_WEAKEST * km_mol.max(initial=0.0))
    digits = 10.0 ** (np.floor(np.log10(km_mol[keep])) - 1)
    return {"ir_cm1": np.round(cm1[keep]), "ir_km_mol": np.round(km_mol[keep] / digits) * digits}


def _polar_hydrogens(mol: Chem.Mol) -> int:
    return sum(n.GetAtomicNum() in (7, 8) for a in mol.GetAtoms() if a.GetAtomicNum() == 1 for n in a.GetNeighbors())


def _bond_orders(record: QuantumRecord, mol: Chem.Mol) -> np.ndarray:
    """Wiberg orders in the order of the molecule's bonds."""
    bonds = zip(*(x.tolist() for x in (record.bond_begin, record.bond_end, record.wiberg_order)), strict=True)
    order = {frozenset(pair): value for *pair, value in bonds}
    try:
        return np.array([order[frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))] for b in mol.GetBonds()])
    except KeyError as error:
        raise ValueError(f"{record.smiles}: the record has no bond order for atoms {tuple(error.args[0])}") from error
