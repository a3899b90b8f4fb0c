"""GFN2-xTB optimisation, frequencies and intensities, beside the program `xtb` doing the same; one thread."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before the libraries are loaded

from measuring import options, report  # noqa: E402
from rdkit import Chem  # noqa: E402

from symspectra.simulation.quantum import force_field_geometry, simulate  # noqa: E402

MOLECULES = ["CC(=O)Oc1ccccc1", "CCOC(=O)CC(C)=O", "COc1ccc(CN)cc1", "CCCCCCC(C)=O", "O=C1CCCCCN1C"]


def main() -> None:
    chosen = options(__doc__)
    seconds = {"xtb --ohess": 0.0, "symspectra": 0.0}
    simulate("CCO")  # loads the libraries
    for smiles in MOLECULES:
        start = time.perf_counter()
        molecule = force_field_geometry(smiles)
        geometry = Chem.MolToXYZBlock(molecule)
        simulate(smiles, start=molecule)
        seconds["symspectra"] += time.perf_counter() - start
        if shutil.which("xtb"):
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "mol.xyz").write_text(geometry)
                start = time.perf_counter()
                command = ["xtb", "mol.xyz", "--ohess", "--gfn", "2"]
                subprocess.run(command, cwd=folder, capture_output=True, check=True)
                seconds["xtb --ohess"] += time.perf_counter() - start
    if not shutil.which("xtb"):
        print("the program xtb is not installed; nothing to compare with")
    report({name: len(MOLECULES) / total for name, total in seconds.items() if total}, "molecules/s", chosen.out)


if __name__ == "__main__":
    main()
