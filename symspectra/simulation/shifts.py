"""13C and 1H chemical shifts from a molecular graph and one conformer, by a message-passing network.

The network reads distances to neighbours within 4 Angstrom together with the bond graph, after the continuous-filter
networks of Schuett et al. (J. Chem. Phys. 148, 241722, 2018) and CASCADE (Guan et al., Chem. Sci. 12, 12012, 2021). It
is trained on the DFT shifts of CASCADE (mPW1PW91/6-311+G(d,p), 6,692 molecules, MIT licence) by
``docs/fits/train_shifts.py``.

Molecules are divided by ``sha256(first InChIKey block) % 10``: 1 validation, 2 test, the rest training. Remainder 0,
which is the test split of the `open` data set, does not occur in the training file, so no test molecule of `open` was
ever seen by the shift network.

Limits: the training molecules hold H, C, N, O, F, P, S and Cl. Bromine and iodine are read as chlorine at a bond
length shortened by the difference of the covalent radii, and the carbon that bears them is corrected by the
difference of the substituent increments (`HEAVY_HALOGEN_INCREMENT`); the carbon next to several of them is the least
certain value. The DFT reference neglects spin-orbit coupling, so a carbon bearing several chlorines comes out too
high. Shifts are gas-phase values of a single conformer: hydrogens on O, N and S have no meaning in solution
(see `symspectra.simulation.nmr`).
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from rdkit import Chem
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from symspectra.errors import DataError
from symspectra.files import digest

ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17)  # atomic numbers in the training data
# Br and I: covalent radius minus that of Cl, Angstrom (Cordero et al., Dalton Trans. 2008, 2832).
RADIUS_EXCESS = {35: 0.18, 53: 0.37}
# 13C increment of a directly bonded Br or I minus that of Cl, ppm: alkanes Cl +31, Br +20, I -6; benzene ipso Cl +6,
# Br -6, I -34 (Pretsch, Buehlmann, Badertscher, Structure Determination of Organic Compounds, 2009, 13C tables).
HEAVY_HALOGEN_INCREMENT = {35: -11.5, 53: -38.5}
CUTOFF = 4.0  # Angstrom
BOND_TYPES = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)
ATOM_FEATURES = len(ELEMENTS) + 11
PAIR_FEATURES = 11
BATCH = 32  # molecules
WEIGHTS = Path(__file__).parent.parent / "weights" / "shift_network.safetensors"
WEIGHTS_SHA256 = "ca6aba93e21be79a0e16189a8807dd4a0163b6048f3179524cb9523a4d77653b"


class MolecularGraph(NamedTuple):
    """Atoms and the pairs of them within `CUTOFF`, of one molecule or of a batch laid end to end."""

    z: Int[Tensor, " atom"]
    atom_features: Float[Tensor, "atom atom_feature"]
    xyz: Float[Tensor, "atom 3"]
    pairs: Int[Tensor, "pair 2"]  # every unordered pair once
    pair_features: Float[Tensor, "pair pair_feature"]
    radius_excess: Float[Tensor, " pair"]  # Angstrom, taken off the distance


def molecule_with_geometry(smiles: str, xyz: Float[np.ndarray, "atom 3"]) -> Chem.Mol:
    """Molecule with all hydrogens, atoms in the order of ``AddHs(MolFromSmiles(smiles))``, and `xyz` (Angstrom)."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise ValueError(f"SMILES {smiles!r} cannot be read")
    mol = Chem.AddHs(mol)
    xyz = np.asarray(xyz, np.float64)
    if xyz.shape != (mol.GetNumAtoms(), 3):
        raise ValueError(f"{smiles}: geometry of shape {xyz.shape}; expected ({mol.GetNumAtoms()}, 3)")
    conformer = Chem.Conformer(mol.GetNumAtoms())
    conformer.SetPositions(xyz)
    mol.AddConformer(conformer)
    return mol


def equivalence_classes(mol: Chem.Mol) -> Int[np.ndarray, " atom"]:
    """Class of every atom under the symmetry of the bond graph (canonical rank without tie breaking, no stereo)."""
    return np.array(list(Chem.CanonicalRankAtoms(mol, breakTies=False, includeChirality=False)))


def molecular_graph(mol: Chem.Mol) -> MolecularGraph:
    """Atom and pair features of a molecule with explicit hydrogens and a conformer; errors as of `predict_shifts`."""
    name = f"molecule {Chem.MolToSmiles(Chem.RemoveHs(mol))}"
    z = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    if strange := sorted(set(z) - set(ELEMENTS) - set(RADIUS_EXCESS)):
        symbols = ", ".join(Chem.GetPeriodicTable().GetElementSymbol(number) for number in strange)
        raise ValueError(f"{name}: no shifts for element {symbols}; expected H C N O F P S Cl Br I")
    xyz = mol.GetConformer().GetPositions()
    excess = np.array([RADIUS_EXCESS.get(number, 0.0) for number in z])
    excess = excess[:, None] + excess
    distance = np.linalg.norm(xyz[:, None] - xyz, axis=-1) - excess
    first, second = np.nonzero(np.triu(distance < CUTOFF, 1))
    bonds_between = Chem.GetDistanceMatrix(mol)[first, second].astype(int)
    features = np.zeros((len(first), PAIR_FEATURES), np.float32)
    features[np.arange(len(first)), 7 + np.clip(bonds_between, 1, 4) - 1] = 1.0
    for bond in mol.GetBonds():
        ends = sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        here = (first == ends[0]) & (second == ends[1])
        if not here.any():
            raise ValueError(f"{name}: bonded atoms {ends} are more than {CUTOFF} Angstrom apart")
        features[here, :7] = _bond_features(bond)
    return MolecularGraph(
        torch.tensor(z),
        torch.tensor([_atom_features(atom) for atom in mol.GetAtoms()], dtype=torch.float32),
        torch.from_numpy(xyz.astype(np.float32)),
        torch.from_numpy(np.stack([first, second], axis=1)),
        torch.from_numpy(features),
        torch.from_numpy(excess[first, second].astype(np.float32)),
    )


def _atom_features(atom: Chem.Atom) -> list[float]:
    number = 17 if atom.GetAtomicNum() in RADIUS_EXCESS else atom.GetAtomicNum()
    hybridisation = atom.GetHybridization()
    kinds = (Chem.HybridizationType.SP, Chem.HybridizationType.SP2, Chem.HybridizationType.SP3)
    return [
        *(float(number == element) for element in ELEMENTS),
        *(float(hybridisation == kind) for kind in kinds),
        float(atom.GetIsAromatic()),
        float(atom.IsInRing()),
        *(float(atom.IsInRingSize(size)) for size in (3, 4, 5, 6)),
        atom.GetDegree() / 4,
        float(atom.GetFormalCharge()),
    ]


def _bond_features(bond: Chem.Bond) -> list[float]:
    kind = bond.GetBondType()
    return [1.0, *(float(kind == known) for known in BOND_TYPES), float(bond.GetIsConjugated()), float(bond.IsInRing())]


def batch_graphs(graphs: list[MolecularGraph]) -> MolecularGraph:
    """Several molecules as one disconnected graph, atoms in the order given."""
    offsets = np.cumsum([0, *(len(graph.z) for graph in graphs[:-1])]).tolist()
    moved = [g._replace(pairs=g.pairs + offset) for g, offset in zip(graphs, offsets, strict=True)]
    return MolecularGraph(*map(torch.cat, zip(*moved, strict=True)))


class Interaction(nn.Module):
    """One round of messages: a gate from both atoms and their distance, times the neighbour's state."""

    def __init__(self, width: int, channels: int, edge: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.state = nn.Linear(width, 2 * channels)
        self.edge = nn.Linear(edge, channels, bias=False)
        self.collect = nn.Linear(channels, width)
        self.update = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(
        self,
        h: Float[Tensor, "atom width"],
        pairs: Int[Tensor, "pair 2"],
        edge: Float[Tensor, "pair edge"],
        envelope: Float[Tensor, "pair 1"],
    ) -> Float[Tensor, "atom width"]:
        gate, value = self.state(self.norm(h)).chunk(2, dim=1)
        i, j = pairs.T
        # The gate is the same in both directions, so it is computed once a pair.
        both = gate.index_select(0, i) + gate.index_select(0, j) + self.edge(edge)
        both = nn.functional.silu(both) * envelope
        message = torch.zeros_like(value).index_add(0, i, both * value.index_select(0, j))
        message = message.index_add(0, j, both * value.index_select(0, i))
        h = h + self.collect(message)
        return h + self.update(h)


class ShiftNetwork(nn.Module):
    """Message-passing network for isotropic 13C and 1H shifts.

    Parameters
    ----------
    width, channels, layers, basis : int
        Atom state, message width, rounds of messages, Gaussians on the distance.
    """

    def __init__(self, width: int = 128, channels: int = 96, layers: int = 5, basis: int = 32) -> None:
        super().__init__()
        self.sizes = {"width": width, "channels": channels, "layers": layers, "basis": basis}
        self.register_buffer("centres", torch.linspace(0.8, CUTOFF, basis))
        self.register_buffer("mean", torch.zeros(2))  # ppm; H, C
        self.register_buffer("scale", torch.ones(2))
        self.embed = nn.Linear(ATOM_FEATURES, width)
        self.rounds = nn.ModuleList(Interaction(width, channels, basis + PAIR_FEATURES) for _ in range(layers))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2))

    def forward(self, graph: MolecularGraph, jitter: float = 0.0) -> Float[Tensor, " atom"]:
        """Shifts in ppm, NaN on atoms other than H and C; `jitter` is the standard deviation of an atom's position."""
        xyz = graph.xyz + jitter * torch.randn_like(graph.xyz) if jitter else graph.xyz
        i, j = graph.pairs.T
        distance = torch.linalg.vector_norm(xyz.index_select(0, i) - xyz.index_select(0, j), dim=1, keepdim=True)
        distance = distance - graph.radius_excess[:, None]
        spacing = self.centres[1] - self.centres[0]
        radial = torch.exp(-0.5 * ((distance - self.centres) / spacing) ** 2)
        edge = torch.cat([radial, graph.pair_features], dim=1)
        envelope = 0.5 * (torch.cos(torch.pi * (distance / CUTOFF).clamp(max=1.0)) + 1)
        h = self.embed(graph.atom_features)
        for interaction in self.rounds:
            h = interaction(h, graph.pairs, edge, envelope)
        ppm = self.head(h) * self.scale + self.mean  # (atom, 2)
        nothing = torch.full_like(ppm[:, 0], torch.nan)
        return torch.where(graph.z == 1, ppm[:, 0], torch.where(graph.z == 6, ppm[:, 1], nothing))


@lru_cache(maxsize=1)
def load_shift_network() -> ShiftNetwork:
    """The shipped network, ready to predict; `DataError` where its file is damaged."""
    try:
        if digest(WEIGHTS) != WEIGHTS_SHA256:
            raise ValueError(f"its sha256 is not {WEIGHTS_SHA256}")
        with safe_open(WEIGHTS, framework="pt") as file:
            network = ShiftNetwork(**json.loads(file.metadata()["shift_network"])["sizes"])
            network.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{WEIGHTS}: cannot be read ({error}); install the package again") from error
    return network.eval().requires_grad_(False)


def network_shifts(network: ShiftNetwork, graphs: list[MolecularGraph]) -> list[Float[Tensor, " atom"]]:
    """What the network gives for each graph, in ppm."""
    shifts: list[Tensor] = []
    for start in range(0, len(graphs), BATCH):
        part = graphs[start : start + BATCH]
        with torch.inference_mode():
            shifts += network(batch_graphs(part)).split([len(graph.z) for graph in part])
    return shifts


def predict_shifts(mols: list[Chem.Mol], network: ShiftNetwork | None = None) -> list[Float[np.ndarray, " atom"]]:
    """Chemical shifts in ppm, one array per molecule and one value per atom.

    ``mols`` have explicit hydrogens and one conformer in Angstrom each; the arrays are float32, in the molecule's atom
    order, NaN for every element but carbon and hydrogen. A ValueError names a molecule with an element that the network
    does not know, or with bonded atoms far apart.
    """
    shifts = network_shifts(network or load_shift_network(), [molecular_graph(mol) for mol in mols])
    return [ppm.numpy() + _heavy_halogen_increments(mol) for mol, ppm in zip(mols, shifts, strict=True)]


def _heavy_halogen_increments(mol: Chem.Mol) -> Float[np.ndarray, " atom"]:
    increments = np.zeros(mol.GetNumAtoms(), np.float32)
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 6:
            for neighbour in atom.GetNeighbors():
                increments[atom.GetIdx()] += HEAVY_HALOGEN_INCREMENT.get(neighbour.GetAtomicNum(), 0.0)
    return increments
