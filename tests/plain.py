"""The method written down from the paper as plainly as possible, with torch alone: what the tests and
`benchmarks/training.py` compare the package with. Without dropout, the same weights (`plain_names`) and the same random
seed give the same loss.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, TensorDataset

ONLY = {  # the one value of each option that is written down here
    **{"bottleneck": True, "prior": "data", "cross_term": "printed", "aggregate": "tokens", "penalty": 0.0},
    **{"eval_gate": "mean", "weighting": "paper", "cmi_reduce": "max"},
    **{"decoder": "lstm", "conditioning": "residual", "prediction": "decoder"},
}
Device = str | torch.device
Spectra, Present = Float[Tensor, "batch n 600"], Bool[Tensor, "batch n"]
Tokens, Gates, Groups = Float[Tensor, "batch n L C"], Float[Tensor, "batch n L"], Float[Tensor, "batch group"]


def flat(config: Any) -> SimpleNamespace:
    """All settings of a `symspectra.Config` under their own names, whatever block they stand in."""
    return SimpleNamespace(**{name: value for block in config.to_dict().values() for name, value in block.items()})


def encoder(c: SimpleNamespace) -> nn.Sequential:
    """Two convolution blocks for one modality (Eq. 2): (batch, 1, 600) -> (batch, C, L)."""
    blocks = OrderedDict()
    for k, channels, out, pool in ((1, 1, c.stem, c.pools[0]), (2, c.stem, c.channels, c.pools[1])):
        blocks[f"conv{k}"] = nn.Conv1d(channels, out, c.kernel, padding="same", bias=False)
        blocks[f"norm{k}"], blocks[f"relu{k}"], blocks[f"pool{k}"] = nn.BatchNorm1d(out), nn.ReLU(), nn.MaxPool1d(pool)
    return nn.Sequential(blocks)


class PlainGate(nn.Module):
    """Cross-modal attention with one modality after the other as the query (Eqs. 3 to 5)."""

    def __init__(self, n: int, tokens: int, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.position = nn.Parameter(0.02 * torch.randn(tokens, channels))
        self.modality = nn.Parameter(0.02 * torch.randn(n, 1, channels))
        self.joint, self.query, self.key, self.value, self.attended = (nn.Linear(channels, channels) for _ in range(5))
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 1))

    def forward(self, tokens: list[Float[Tensor, "batch L C"]], present: Present) -> Gates:
        """Gate logits, before the sigmoid of Eq. 5."""
        placed = [o + self.modality[i] + self.position for i, o in enumerate(tokens)]
        o_cat = self.joint(torch.cat(placed, dim=1))  # Eq. 3
        visible = present | ~present.any(dim=1, keepdim=True)
        mask = visible.repeat_interleave(tokens[0].shape[1], dim=1)[:, None, None, :]
        k, v, logits = self._split(self.key(o_cat)), self._split(self.value(o_cat)), []
        for o in tokens:
            o_attn = F.scaled_dot_product_attention(self._split(self.query(o)), k, v, attn_mask=mask)  # Eq. 4
            o_attn = self.attended(o_attn.transpose(1, 2).flatten(2))
            logits.append(self.mlp(o_attn).squeeze(-1))  # Eq. 5
        return torch.stack(logits, dim=1)

    def _split(self, x: Tensor) -> Float[Tensor, "batch head token d"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class PlainDecoder(nn.Module):
    """LSTM over the groups, one step a call (Eq. 13)."""

    def __init__(self, fused: int, order: tuple[int, ...], hidden: int, embedding: int, dropout: float):
        super().__init__()
        self.order = order
        self.label_embedding = nn.Embedding(3, embedding)  # 0, 1, and none before the first
        self.position_embedding = nn.Parameter(0.02 * torch.randn(len(order), embedding))
        self.initial, self.cell = nn.Linear(fused, hidden), nn.LSTMCell(embedding, hidden)
        nn.init.zeros_(self.cell.bias_hh)
        nn.init.zeros_(self.cell.bias_ih)
        nn.init.ones_(self.cell.bias_ih.data[hidden : 2 * hidden])  # forget gate
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Parameter(torch.randn(len(order), hidden) / hidden**0.5)
        self.bias = nn.Parameter(torch.zeros(len(order)))

    def forward(self, fused: Float[Tensor, "batch fused"], main: Groups, prefix: Groups | None = None) -> Groups:
        """Logits; each step is fed the label in ``prefix`` of the group before, or its own prediction of it."""
        h = torch.tanh(self.initial(fused))
        c = torch.zeros_like(h)
        previous = torch.full((len(fused),), 2, device=fused.device)
        logits = {}
        for k, group in enumerate(self.order):
            e = self.label_embedding(previous) + self.position_embedding[k]
            h, c = self.cell(e, (h, c))  # Eq. 13
            logits[group] = (self.dropout(h) * self.output[k]).sum(dim=1) + self.bias[k] + main[:, group]
            previous = (logits[group] > 0 if prefix is None else prefix[:, group]).long()
        return torch.stack([logits[group] for group in sorted(self.order)], dim=1)


class PlainWeighting(nn.Module):
    """Weights of samples and of groups for the loss (Eqs. 11 and 12); batches below 32 use running statistics."""

    def __init__(self, n_groups: int, s1: float, s2: float, ramp: int):
        super().__init__()
        self.s1, self.s2, self.ramp = s1, s2, ramp
        self.register_buffer("running", torch.tensor([0.0, 1.0, 0.0, 1.0]))  # mu_s, sigma_s, mu_f, sigma_f
        self.register_buffer("group_cmi", torch.zeros(n_groups))  # of another weighting; here to hold its weights

    def forward(self, cmi: Groups, epoch: int) -> Groups:
        """Weight of every element of the loss."""
        sample = cmi.mean(dim=1)
        batch = [sample.mean(), sample.std(unbiased=False), cmi.mean(), cmi.std(unbiased=False)]
        self.running += 0.02 * (torch.stack(batch) - self.running)
        mu_s, sigma_s, mu_f, sigma_f = self.running if len(cmi) < 32 else batch
        of_sample = (1 + self.s1 * (sample - mu_s) / (sigma_s + 1e-6)).clamp_min(0)  # Eq. 11
        of_element = (1 + self.s2 * (cmi - mu_f) / (sigma_f + 1e-6)).clamp_min(0)  # Eq. 12
        return 1 + min(1.0, epoch / self.ramp) * (of_sample[:, None] * of_element - 1)


class PlainSymSpectra(nn.Module):
    """The paper's model; a ValueError names an option that is not the default. ``order`` is the decoder's."""

    def __init__(self, config: Any, order: tuple[int, ...]):
        super().__init__()
        self.settings = c = flat(config)
        for name, only in ONLY.items():
            if getattr(c, name) != only:
                raise ValueError(f"{name} is {getattr(c, name)!r}; the plain model is written for {only!r} alone")
        n, n_groups, length = len(c.modalities), len(order), 600 // c.pools[0] // c.pools[1]
        self.encoders = nn.ModuleList(encoder(c) for _ in range(n))
        self.gate = PlainGate(n, length, c.channels, c.heads)
        fuse = nn.Linear(n * length * c.channels, c.hidden)
        self.fuse = nn.Sequential(nn.Flatten(), fuse, nn.ReLU(), nn.Dropout(c.dropout))
        self.main = nn.Linear(c.hidden, n_groups)
        conv, dense = nn.Conv1d(n * c.channels, 16, 3, padding="same"), nn.Linear(16 * (length // 2), 64)
        head = nn.Sequential(nn.Flatten(), dense, nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, n_groups))
        self.auxiliary = nn.Sequential(OrderedDict(conv=conv, relu=nn.ReLU(), pool=nn.MaxPool1d(2), head=head))
        self.decoder = PlainDecoder(c.hidden, order, c.decoder_hidden, 32, c.decoder_dropout)
        self.weighting = PlainWeighting(n_groups, c.s1, c.s2, c.weight_ramp)

    def represent(self, x: Spectra, present: Present) -> tuple[Tensor, ...]:
        """Tokens H, gates, mean and deviation of the noise, and representations T, each (batch, n, ...)."""
        tokens = [encode(x[:, i : i + 1]).transpose(1, 2) for i, encode in enumerate(self.encoders)]
        logits, h = self.gate(tokens, present), torch.stack(tokens, dim=1)
        mean = h.detach().mean(dim=2)
        std = h.detach().std(dim=2, unbiased=False).clamp_min(self.settings.sigma_floor)
        if self.training:
            u = torch.rand(logits.shape, device=x.device).clamp(1e-4, 1 - 1e-4)
            gate = torch.sigmoid((logits + torch.log(u / (1 - u))) / self.settings.temperature)  # Eq. 7
            noise = torch.randn(h.shape, device=x.device)
        else:
            u = (torch.arange(4000, dtype=torch.float64, device=x.device) + 0.5) / 4000
            log_odds = logits.double().unsqueeze(-1) + torch.log(u / (1 - u))
            gate = torch.sigmoid(log_odds / self.settings.temperature).mean(dim=-1).float()  # the mean of Eq. 7
            noise = torch.zeros_like(h)
        t = []
        for i in range(h.shape[1]):
            epsilon, keep = mean[:, i, None] + std[:, i, None] * noise[:, i], gate[:, i, :, None]
            t.append((keep * h[:, i] + (1 - keep) * epsilon) * present[:, i, None, None])  # Eq. 6
        return h, gate, mean, std, torch.stack(t, dim=1)

    def forward(self, x: Spectra, present: Present) -> Groups:
        """Logits of the main predictor."""
        return self.main(self.fuse(self.represent(x, present)[-1]))

    def leave_one_out(self, t: Tokens) -> Float[Tensor, "batch n group"]:
        """Logits of the auxiliary predictor with one modality set to zero, each in turn."""
        keep = 1 - torch.eye(t.shape[1], device=t.device)
        without = [(t * keep[i, :, None, None]).transpose(2, 3).flatten(1, 2) for i in range(t.shape[1])]
        return torch.stack([self.auxiliary(channels) for channels in without], dim=1)

    def loss(self, x: Spectra, present: Present, y: Groups, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 10 for main predictor and decoder, the auxiliary's cross-entropy, and beta times the bound."""
        c, bce = self.settings, F.binary_cross_entropy_with_logits
        h, gate, mean, std, t = self.represent(x, present)
        fused = self.fuse(t)
        main, auxiliary = self.main(fused), self.leave_one_out(t.detach())
        bce_main = bce(main, y, reduction="none")
        bce_auxiliary = bce(auxiliary, y.unsqueeze(1).expand_as(auxiliary), reduction="none")
        cmi = (bce_auxiliary - bce_main.unsqueeze(1)).detach()  # Eq. 9
        cmi = cmi.masked_fill(~present.unsqueeze(-1), -math.inf).amax(dim=1)
        weight = self.weighting(cmi.masked_fill(~present.any(dim=1, keepdim=True), 0.0), epoch)  # Eqs. 11, 12

        truth = torch.rand(y.shape, device=y.device) < c.teacher_forcing * c.teacher_forcing_decay**epoch
        decoder = self.decoder(fused, main, torch.where(truth, y, (main > 0).float()))
        loss_main = (weight * bce_main).mean()  # Eq. 10
        loss_decoder = (weight * bce(decoder, y, reduction="none")).mean()  # Eq. 10
        loss_auxiliary = (bce_auxiliary.mean(dim=2) * present).sum() / present.sum().clamp_min(1)
        kl = bound(h, gate, mean, std, present)
        logs = {"main": loss_main, "decoder": loss_decoder, "auxiliary": loss_auxiliary, "bound": kl}
        logs |= {"gate": gate.mean(), "element_weight": weight}
        total = loss_main + loss_decoder + loss_auxiliary + c.beta * kl
        return total, {name: value.detach() for name, value in logs.items()}

    @torch.no_grad()
    def predict(self, x: Spectra, present: Present) -> Groups:
        """Probabilities from the free-running decoder."""
        fused = self.fuse(self.represent(x, present)[-1])
        return self.decoder(fused, self.main(fused)).sigmoid()


def bound(h: Tokens, gate: Gates, mean: Tensor, std: Tensor, present: Present) -> Float[Tensor, ""]:
    """Eq. 18 of every modality, and Eq. 19 averaged over the others that are present; mean over the batch."""
    n, total, others = h.shape[1], 0.0, (present.sum(dim=1) - 1).clamp_min(1)
    for i in range(n):
        for m in range(n):
            kl = divergence(h[:, m], gate[:, m], mean[:, i], std[:, i]) * present[:, i]
            total = total + (kl if m == i else kl * present[:, m] / others)  # Eq. 18, Eq. 19
    return total.mean()


def divergence(h: Tensor, gate: Tensor, mean: Tensor, std: Tensor) -> Float[Tensor, " batch"]:
    """``-ln A / 2 + A / 2 + B^2 / 2 - 1 / 2`` of each token and channel, N = 1, and the sum over them (App. E.2).

    Tokens and gates are of one modality, the noise of the same or another one.
    """
    a = ((1 - gate) ** 2 + 1e-6).unsqueeze(-1)
    b = gate.unsqueeze(-1) * (h - mean.unsqueeze(1)) / std.unsqueeze(1)
    return (-torch.log(a) / 2 + a / 2 + b**2 / 2 - 1 / 2).sum(dim=(1, 2))


def plain_copy(model: nn.Module, config: Any, order: tuple[int, ...]) -> PlainSymSpectra:
    """The plain model with the weights of a `symspectra` one, in its mode."""
    plain = PlainSymSpectra(config, order)
    plain.load_state_dict(plain_names(model.state_dict(), len(plain.encoders)))
    return plain.to(model.main.weight.device).train(model.training)


def plain_names(tensors: dict[str, Tensor], n: int) -> dict[str, Tensor]:
    """Weights of a SymSpectra of n modalities, or their gradients, with the plain model's names and shapes."""
    plain = {}
    for name, tensor in tensors.items():
        if name.startswith("encoder."):
            name = re.sub(r"block(\d)\.(conv|norm)", r"\2\1", name)
            for i, own in enumerate(tensor.chunk(n) if tensor.dim() else [tensor] * n):
                plain[name.replace("encoder", f"encoders.{i}")] = own.squeeze(2) if own.dim() == 4 else own
        elif name.startswith("gate.key_value."):
            plain[name.replace("key_value", "key")], plain[name.replace("key_value", "value")] = tensor.chunk(2)
        elif name == "auxiliary.conv.weight":
            plain[name] = torch.cat(tensor.chunk(n), dim=1)
        elif name == "auxiliary.bias":
            plain["auxiliary.conv.bias"] = tensor.squeeze(1)
        elif name != "decoder.order":
            plain[name.replace("cell.initial", "initial").replace("cell.steps", "cell").removesuffix("_l0")] = tensor
    return plain


def plain_loader(x: Spectra, present: Present, y: Groups, batch: int) -> DataLoader:
    """The molecules one by one, shuffled into batches."""
    return DataLoader(TensorDataset(x, present, y), batch_size=batch, shuffle=True)


def plain_optimizer(model: nn.Module, lr: float, beta2: float) -> Adam:
    """Adam, one weight after the other."""
    return Adam(model.parameters(), lr, (0.9, beta2), foreach=False, fused=False)


def train_epoch_plain(model: nn.Module, optimizer: Adam, loader: DataLoader, device: Device, epoch: int) -> float:
    """One pass over the training molecules; the mean loss."""
    model.train()
    total = 0.0
    for x, present, y in loader:
        loss, _ = model.loss(x.to(device), present.to(device), y.to(device), epoch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    return total / len(loader.dataset)
