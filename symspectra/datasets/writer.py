"""How a prepared folder is written, whatever its spectra come from; `symspectra.datasets.prepared` reads it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from symspectra import files
from symspectra.datasets.prepared import LEAST_TESTED, LEAST_TRAINED
from symspectra.datasets.splits import SPLITS
from symspectra.errors import DataError
from symspectra.groups.table8 import NAMES, from_bits
from symspectra.spectra.preprocessing import POINTS

PACKAGES = ("symspectra", "rdkit", "numpy", "torch", "pyarrow")


def check_new(out: Path) -> None:
    """Refuse a folder that is there already, with `DataError`."""
    if out.exists():
        raise DataError(f"{out}: exists; name a new folder, or remove this one")


def versions() -> dict[str, str]:
    """Of the packages that the content of a folder depends on."""
    return {name: version(name) for name in PACKAGES}


class FolderWriter:
    """A folder of N molecules: fill `vectors` and `present`, then finish. ``modalities`` name the second axis.

    `OSError` is raised where the disk is full.
    """

    def __init__(self, folder: Path, molecules: int, modalities: Sequence[str]):
        self.folder, self.modalities = folder, tuple(modalities)
        shape = (molecules, len(self.modalities))
        self.vectors = files.new_array(folder / "vectors.npy", np.float16, (*shape, POINTS))
        self.present = np.zeros(shape, dtype=bool)

    def finish(
        self,
        kind: str,
        molecules: pd.DataFrame,
        rejects: Iterable[tuple[str, Any, str]],
        summary: Mapping[str, Any],
        used: Bool[np.ndarray, " molecule"] | bool = True,
        **card: Any,
    ) -> dict[str, Any]:
        """Write everything else; return the ``summary`` with the numbers of molecules by split and group.

        Parameters
        ----------
        kind : ``measured`` or ``alberts``
        molecules : of ``molecules.parquet``, with at least inchikey, smiles, groups and split
        rejects : file, record or row in it and reason of each that was left out
        used : molecules whose groups are counted, all by default
        card : what else the manifest says
        """
        self.vectors.flush()
        np.save(self.folder / "present.npy", self.present)
        molecules.to_parquet(self.folder / "molecules.parquet", index=False, compression="zstd")
        reasons: Counter = Counter()
        with open(self.folder / "rejects.csv", "w", newline="", encoding="utf-8") as f:
            table = csv.writer(f)
            table.writerow(("file", "record", "reason"))
            for row in rejects:
                table.writerow(row)
                reasons[row[-1].partition(" (")[0]] += 1  # in brackets stands what is wrong with this one
        split, groups = molecules["split"].to_numpy(), from_bits(molecules["groups"].to_numpy())
        numbers = {name: groups[used & (split == name)].sum(axis=0).tolist() for name in SPLITS}
        counts = {group: {name: numbers[name][i] for name in SPLITS} for i, group in enumerate(NAMES)}
        whole = {
            "molecules": len(split),
            "splits": {name: int((split == name).sum()) for name in SPLITS},
            "spectra": dict(zip(self.modalities, self.present.sum(axis=0).tolist(), strict=True)),
            **summary,
            "groups": counts,
            **{f"groups_evaluated_{split}": evaluated(counts, split) for split in ("test", "validation")},
            "rejects": dict(reasons.most_common()),
        }
        files.write_manifest(self.folder, {"kind": kind, "modalities": self.modalities, **card, "summary": whole})
        return whole


def evaluated(counts: Mapping[str, Mapping[str, int]], split: str = "test") -> list[str]:
    """Groups with enough positives: `LEAST_TRAINED` in training and `LEAST_TESTED` in ``split``."""
    return [group for group, n in counts.items() if n["train"] >= LEAST_TRAINED and n[split] >= LEAST_TESTED]


def described(summary: Mapping[str, Any]) -> str:
    """A summary as text: a line per number, list of groups, or kind of what was counted."""
    lines = []
    for name, value in summary.items():
        title = name.replace("_", " ")
        if isinstance(value, int):
            lines.append(f"{title}: {value}")
        elif isinstance(value, list):
            lines.append(f"{title}: {len(value)} of {len(NAMES)}{': ' if value else ''}{', '.join(value)}")
        elif name != "groups":
            lines += [f"{title}:", *(f"{n:8}  {what}" for what, n in value.items())]
    return "\n".join(lines)
