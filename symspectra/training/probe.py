"""Whether a representation T^i leaves out what the other spectra say too: linear probes of a trained SymSpectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from symspectra.datasets.base import SpectraDataset
from symspectra.models.symspectra import SymSpectra

if TYPE_CHECKING:
    import pandas as pd

BLOCKS = 30  # of 20 points each: a probe need not find a line to the point
LEAST = 100  # molecules to fit the probes to, and to score them on


@torch.no_grad()
def redundancy(model: SymSpectra, dataset: SpectraDataset, molecules: int = 2000, seed: int = 0) -> pd.DataFrame:
    """What can be read, by linear probes, from each spectrum before and after the bottleneck.

    Section 2.1 claims of T^i that it keeps what it alone knows of Y, and eliminates what the other spectra X^not i hold
    already. Information can only be lost on the way from H^i to T^i; if the claim holds, more of what was known of
    the ``other spectra`` is lost than of the ``groups``: ``kept`` is smaller. Without a bottleneck all is kept.

    The probes are ridge regressions (strength by leave-one-out) on the first half of the first ``molecules`` test
    molecules that have all spectra, scored on the second half; T^i is drawn as in training (Eq. 6).

    Returns
    -------
    One row per ``modality`` and ``target`` (``own spectrum`` and ``other spectra``, as means over `BLOCKS` blocks, and
    ``groups``): the explained share R^2 of the target's variance from H^i (``before``) and from T^i (``after``), and
    ``kept``, after / before, missing where H^i explains nothing.

    Raises
    ------
    ValueError : another model, or fewer than twice `LEAST` molecules.
    """
    import pandas as pd

    if not isinstance(model, SymSpectra):
        raise ValueError(f"{type(model).__name__} has no representations T^i; expected a SymSpectra")
    rows, parts = dataset.rows("test"), []
    rows = rows[torch.cat([dataset.spectra(chunk)[1].all(dim=1) for chunk in rows.split(4096)])][:molecules]
    if len(rows) < 2 * LEAST:
        raise ValueError(
            f"{len(rows)} test molecules have all spectra; expected at least {2 * LEAST}, use more molecules"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for chunk in rows.split(256):
            x, present = dataset.spectra(chunk)
            r = model.represent(x, present, sample=True)
            parts.append((x.unflatten(2, (BLOCKS, -1)).mean(dim=3), r.tokens.flatten(2), r.t.flatten(2)))
    spectra, before, after = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
    table = []
    for i, modality in enumerate(model.modalities):
        others = np.delete(spectra, i, axis=1).reshape(len(rows), -1)
        targets = {"own spectrum": spectra[:, i], "other spectra": others, "groups": dataset.y[rows].cpu().numpy()}
        for name, target in targets.items():
            if target.shape[1]:
                r2 = [_explained(kind[:, i], target.astype(np.float64)) for kind in (before, after)]
                kept = r2[1] / r2[0] if r2[0] > 0 else np.nan
                table.append({"modality": modality, "target": name, "before": r2[0], "after": r2[1], "kept": kept})
    return pd.DataFrame(table)


def _explained(x: Float[np.ndarray, "molecule feature"], y: Float[np.ndarray, "molecule target"]) -> float:
    """R^2 of a linear probe fitted to the first half, on the second half; every target that varies counts alike."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    half = len(x) // 2
    y = y[:, y[:half].std(axis=0) > 0]
    y = StandardScaler().fit(y[:half]).transform(y)
    probe = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 6, 7))).fit(x[:half], y[:half])
    return float(1 - ((y[half:] - probe.predict(x[half:])) ** 2).sum() / (y[half:] ** 2).sum())
