"""Train the shift network: ``python docs/fits/train_shifts.py DATA.parquet --out FILE``.

DATA.parquet has one row per molecule: ``molblock`` (V2000 with every hydrogen and the DFT geometry), ``atom_index`` and
``shift_ppm`` of its carbons and hydrogens (the DFT8K set of CASCADE, Guan et al., Chem. Sci. 12, 12012, 2021).
Rows whose molblock lost bond orders (it then holds radicals) are left out and counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import rdkit
import torch
from jaxtyping import Float
from rdkit import Chem
from safetensors.torch import save_file
from torch import Tensor

from symspectra import files
from symspectra.simulation.shifts import (
    BATCH,
    MolecularGraph,
    ShiftNetwork,
    batch_graphs,
    molecular_graph,
    network_shifts,
)

SPLIT_RULE = "sha256(first InChIKey block) % 10: 1 validation, 2 test, else training"
LEARNING_RATE = 2e-3
JITTER = 0.015  # Angstrom an atom and axis: about 0.02 on a distance, the difference of GFN2-xTB and DFT bond lengths


class Example(NamedTuple):
    """One molecule: graph, and shifts in ppm (NaN off C and H)."""

    graph: MolecularGraph
    ppm: Float[Tensor, " atom"]


def split_of(inchikey: str) -> str:
    """``train``, ``validation``, ``test`` or ``reserved`` by the hash of the first InChIKey block.

    Reserved are the molecules that are in the test split of the `open` data set: the network must not see them.
    """
    remainder = int(hashlib.sha256(inchikey.split("-")[0].encode()).hexdigest(), 16) % 10
    return {0: "reserved", 1: "validation", 2: "test"}.get(remainder, "train")


def read_examples(path: Path) -> tuple[dict[str, list[Example]], int]:
    """Examples of each split, and how many rows were left out because their bond graph holds radicals.

    A ValueError names the row whose molblock cannot be read, or in which a C or H has no finite shift.
    """
    splits: dict[str, list[Example]] = {"train": [], "validation": [], "test": [], "reserved": []}
    left_out = 0
    for number, row in enumerate(pq.read_table(path, columns=["molblock", "atom_index", "shift_ppm"]).to_pylist()):
        mol = Chem.MolFromMolBlock(row["molblock"], removeHs=False)
        if mol is None:
            raise ValueError(f"{path}, row {number}: the molblock cannot be read")
        if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
            left_out += 1
            continue
        graph = molecular_graph(mol)
        ppm = torch.full((mol.GetNumAtoms(),), torch.nan)
        ppm[torch.tensor(row["atom_index"], dtype=torch.long)] = torch.tensor(row["shift_ppm"])
        if not torch.equal(ppm.isfinite(), (graph.z == 1) | (graph.z == 6)):
            raise ValueError(f"{path}, row {number}: expected one finite shift on every C and H and on no other atom")
        splits[split_of(Chem.MolToInchiKey(mol))].append(Example(graph, ppm))
    return splits, left_out


def mean_absolute_errors(network: ShiftNetwork, examples: list[Example]) -> dict[str, float | int]:
    """Mean absolute errors over atoms in ppm by element, and how many molecules and atoms they are of."""
    predicted = torch.cat(network_shifts(network.eval(), [example.graph for example in examples]))
    error = (predicted - torch.cat([example.ppm for example in examples])).abs()
    z, result = torch.cat([example.graph.z for example in examples]), {"molecules": len(examples)}
    for name, number in (("h1", 1), ("c13", 6)):
        some = error[z == number]
        result |= {f"{name}_mae_ppm": round(float(some.mean()), 4), f"{name}_number": len(some)}
    return result


def train_epoch(network: ShiftNetwork, optimiser: torch.optim.Optimizer, examples: list[Example]) -> float:
    """One pass over the training molecules in random order; returns the mean loss (units of the element's spread)."""
    network.train()
    losses = []
    for chosen in torch.randperm(len(examples)).split(BATCH):
        part = [examples[index] for index in chosen.tolist()]
        graph, ppm = batch_graphs([example.graph for example in part]), torch.cat([example.ppm for example in part])
        predicted = network(graph, jitter=JITTER)
        known = ppm.isfinite()
        spread = torch.where(graph.z == 1, network.scale[0], network.scale[1])
        loss = ((predicted - ppm)[known].abs() / spread[known]).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def standardise(network: ShiftNetwork, examples: list[Example]) -> None:
    """Set the output mean and spread of H and C to those of the training shifts."""
    z, ppm = torch.cat([e.graph.z for e in examples]), torch.cat([e.ppm for e in examples])
    for row, number in enumerate((1, 6)):
        network.mean[row], network.scale[row] = ppm[z == number].mean(), ppm[z == number].std()


def train(data: Path, out: Path, epochs: int = 70, seed: int = 0) -> dict[str, float | int]:
    """Train from `data`, write the weights to `out` and return the errors on the test molecules."""
    splits, left_out = read_examples(data)
    print({name: len(examples) for name, examples in splits.items()}, f"{left_out} rows with radicals left out")
    torch.manual_seed(seed)
    network = ShiftNetwork()
    standardise(network, splits["train"])
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    for epoch in range(epochs):
        torch.manual_seed(seed * 1_000_003 + epoch)
        warmup = min(1.0, (epoch + 1) / 3)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * warmup * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        loss = train_epoch(network, optimiser, splits["train"])
        print(f"epoch {epoch + 1}/{epochs} loss {loss:.4f}", mean_absolute_errors(network, splits["validation"]))
    parameters = dict(network.named_parameters())  # float16; the buffers (ppm, Angstrom) stay float32
    half = {name: tensor.half() if name in parameters else tensor for name, tensor in network.state_dict().items()}
    network.load_state_dict({name: tensor.float() for name, tensor in half.items()})  # errors of what is shipped
    errors = {name: mean_absolute_errors(network, splits[name]) for name in ("validation", "test")}
    run = {"data_sha256": files.digest(data), "epochs": epochs, "seed": seed, "batch": BATCH, "jitter": JITTER}
    versions = {"torch": torch.__version__, "rdkit": rdkit.__version__}
    facts = {"sizes": network.sizes, "run": run, "split_rule": SPLIT_RULE, "errors": errors, "versions": versions}
    with files.written(out) as temporary:
        # One entry: safetensors writes several in random order, and the same run has to give the same bytes.
        save_file(half, temporary, {"shift_network": json.dumps(facts, sort_keys=True)})
    print(f"symspectra.simulation.shifts.WEIGHTS_SHA256 of it: {files.digest(out)}")
    return errors["test"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    torch.set_num_threads(1)
    print(train(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
