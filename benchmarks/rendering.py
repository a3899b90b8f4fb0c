"""From line lists to 600 points with nuisance noise: molecules together, beside one after the other."""

from __future__ import annotations

import torch
from measuring import median_seconds, options, report

from symspectra.datasets.base import OPEN_DIRECTORY
from symspectra.modalities import MODALITIES
from symspectra.spectra.lines import read_lines
from symspectra.spectra.rendering import Nuisance, render


def main() -> None:
    chosen = options(__doc__, molecules=1024)
    torch.set_num_threads(1)
    lines = read_lines(OPEN_DIRECTORY, chosen.molecules)
    rows = torch.arange(len(lines))

    def rate(size: int, modalities: tuple[str, ...]) -> float:
        return len(rows) / median_seconds(
            lambda: [render(lines, c, modalities, Nuisance(), 1) for c in rows.split(size)]
        )

    rates = {"all five, one after the other": rate(1, MODALITIES), "all five, 512 together": rate(512, MODALITIES)}
    rates |= {f"{modality}, 512 together": rate(512, (modality,)) for modality in MODALITIES}
    report(rates, "molecules/s", chosen.out)


if __name__ == "__main__":
    main()
