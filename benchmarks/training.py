"""Training of SymSpectra, beside the method written down plainly (`tests/plain.py`), and of the other models."""

from __future__ import annotations

import torch
from measuring import median_seconds, options, report
from plain import plain_copy, plain_loader, plain_optimizer, train_epoch_plain

from symspectra import load_profile
from symspectra.datasets.base import load_dataset
from symspectra.datasets.views import DatasetView
from symspectra.experiments.plan import BASELINES
from symspectra.parallel import cores
from symspectra.training.machine import choose_device
from symspectra.training.trainer import Trainer


class Some(DatasetView):
    """The first so many training molecules."""

    def __init__(self, base, n):
        super().__init__(base)
        self.train = base.rows("train")[:n]

    def rows(self, split):
        return self.train if split == "train" else self.base.rows(split)


def main() -> None:
    chosen = options(__doc__, profile="demo", device="auto", steps=12)
    device = choose_device(chosen.device)
    torch.set_num_threads(cores())
    rates = {}
    for name in ("symspectra", *(model for model in BASELINES if model != "xgboost")):
        config = load_profile(chosen.profile).config(name)
        data = Some(load_dataset(config).to(device), chosen.steps * config.training.batch)
        rows = data.rows("train")
        trainer = Trainer(config, data, device)
        if name == "symspectra":
            plain = plain_copy(trainer.model, config, tuple(trainer.model.decoder.order.tolist()))
            x, present = data.spectra(rows, draw=1)
            loader = plain_loader(x.cpu(), present.cpu(), data.y[rows].float().cpu(), config.training.batch)
            adam = plain_optimizer(plain, config.training.lr, config.training.beta2)
            seconds = median_seconds(lambda a=(plain, adam, loader, device, 1): train_epoch_plain(*a))
            rates["plain, noise drawn once"] = len(rows) / seconds
        rates[name] = len(rows) / median_seconds(lambda t=trainer, r=rows: t.train_epoch(r))
    report(rates, "samples/s", chosen.out)


if __name__ == "__main__":
    main()
