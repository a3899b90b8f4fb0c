"""From a record of either level to the line list of a molecule: infrared, NMR and MS/MS together."""

from __future__ import annotations

from typing import Any

import numpy as np
from rdkit import Chem

from symspectra.simulation import force_field, quantum
from symspectra.simulation.force_field import ForceFieldRecord
from symspectra.simulation.fragmentation import fragment, fragment_tree
from symspectra.simulation.molecules import checked_smiles
from symspectra.simulation.nmr import nmr_lines
from symspectra.simulation.quantum import QuantumRecord, SimulationError
from symspectra.simulation.shifts import molecule_with_geometry, predict_shifts
from symspectra.simulation.wavenumbers import Level, mode_kinds

IR_RANGE = (350.0, 4500.0)  # cm-1, unscaled
IR_WEAKEST = 0.003  # of the strongest line
SIMULATE = {"ff": force_field.simulate, "gfn2": quantum.simulate}


def simulated(
    entries: list[tuple[int, str]], level: Level, max_heavy: int
) -> list[tuple[int, str, dict[str, Any] | str]]:
    """Line number, SMILES as given, and the line list or the reason why there is none, of each entry of a list."""
    results: list[tuple[int, str, dict[str, Any] | str]] = []
    records, places = [], []
    for number, text in entries:
        try:
            records.append(SIMULATE[level](checked_smiles(text, max_heavy)))
            places.append(len(results))
            results.append((number, text, ""))
        except SimulationError as error:
            results.append((number, text, str(error)))
    for place, row in zip(places, line_lists(records, level), strict=True):
        results[place] = (*results[place][:2], row)
    return results


def line_lists(records: list[QuantumRecord] | list[ForceFieldRecord], level: Level = "gfn2") -> list[dict[str, Any]]:
    """Line lists, one per record: the spectral columns of `symspectra.spectra.lines.COLUMNS`, ``smiles``, ``level``.

    A force-field record has no bond orders: its MS/MS are made with formal ones, on which the fragmentation
    was fitted (square-root cosine with spectra of quantum bond orders: 0.995 positive, 0.989 negative, 40 molecules).

    Raises
    ------
    ValueError : a record whose atoms are not those of its SMILES.
    """
    molecules = [molecule_with_geometry(record.smiles, record.xyz_angstrom) for record in records]
    rows = []
    for record, mol, shifts in zip(records, molecules, predict_shifts(molecules), strict=True):
        row = {"smiles": record.smiles, "level": level, **_infrared(record, mol)}
        row |= nmr_lines(mol, record.xyz_angstrom, shifts)
        orders = _bond_orders(record, mol) if isinstance(record, QuantumRecord) else None
        tree = fragment_tree(mol, orders)
        for name, polarity in (("msms_pos", "positive"), ("msms_neg", "negative")):
            mz, intensity = fragment(mol, orders, polarity, tree=tree)
            row |= {f"{name}_mz": np.round(mz, 2), f"{name}_percent": _percent(intensity)}
        rows.append({key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in row.items()})
    return rows


def ei_lists(smiles: list[str]) -> list[dict[str, Any]]:
    """Spectra of electron ionisation, one per SMILES: rows with the columns of `symspectra.spectra.lines.EI_COLUMNS`.

    They are made with formal bond orders, whatever the level of the other spectra: nothing but the SMILES is needed.
    """
    rows = []
    for text in smiles:
        mz, intensity = fragment(Chem.MolFromSmiles(text), None, "ei")
        tenths = np.floor(10 * mz + 1e-6) / 10
        rows.append({"ei_mz": tenths.tolist(), "ei_percent": _percent(intensity).tolist()})
    return rows


def _percent(intensity: np.ndarray) -> np.ndarray:
    return np.maximum(1, np.round(100 * intensity)).astype(int)


def _infrared(record: QuantumRecord | ForceFieldRecord, mol: Chem.Mol) -> dict[str, np.ndarray]:
    """Lines in range and not negligible; 1 cm-1 and two significant digits are all that the method is good for."""
    cm1, km_mol = record.freq_cm1, record.inten_km_mol
    kinds = np.array(mode_kinds(mol, cm1, km_mol))
    keep = (cm1 > IR_RANGE[0]) & (cm1 < IR_RANGE[1]) & (km_mol > IR_WEAKEST * km_mol.max(initial=0.0))
    digits = 10.0 ** (np.floor(np.log10(km_mol[keep])) - 1)
    rounded = np.round(km_mol[keep] / digits) * digits
    return {"ir_cm1": np.round(cm1[keep]), "ir_km_mol": rounded, "ir_kind": kinds[keep]}


def _bond_orders(record: QuantumRecord, mol: Chem.Mol) -> np.ndarray:
    """Wiberg orders in the order of the molecule's bonds."""
    bonds = zip(*(x.tolist() for x in (record.bond_begin, record.bond_end, record.wiberg_order)), strict=True)
    order = {frozenset(pair): value for *pair, value in bonds}
    try:
        return np.array([order[frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))] for b in mol.GetBonds()])
    except KeyError as error:
        raise ValueError(f"{record.smiles}: the record has no bond order for atoms {tuple(error.args[0])}") from error
