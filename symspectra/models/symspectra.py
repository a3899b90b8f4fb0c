"""SymSpectra (Figure 2): encoders, cross-modal gates, bottleneck, three predictors, objective."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from symspectra.groups.orders import label_order
from symspectra.models.base import SpectrumClassifier
from symspectra.models.bottleneck import (
    compression_bound,
    concrete_gate,
    expected_representation,
    inject_noise,
    token_statistics,
)
from symspectra.models.decoder import LabelDecoder, scheduled_prefix
from symspectra.models.processes import across
from symspectra.models.products import SpectrumConv, SpectrumNorm, attention, convolve
from symspectra.models.randomness import Dropout
from symspectra.models.weighting import CMIWeighting, pointwise_cmi


class SpectralEncoder(nn.Module):
    """Two blocks Conv1d -> BatchNorm -> ReLU -> MaxPool, each modality with its own weights (Eq. 2).

    Grouped convolutions hold the modalities' stems side by side, so that one call encodes all of them. ReLU stands
    after the pooling: the same function on a fraction of the points.

    ``(batch, n, 600) -> (batch, n, L, C)`` with ``L = 600 // pools[0] // pools[1]``.
    """

    def __init__(self, n: int, stem: int, channels: int, kernel: int, pools: tuple[int, int]):
        super().__init__()
        self.n, self.pools, self.tokens = n, pools, 600 // pools[0] // pools[1]
        self.conv1 = SpectrumConv(n, n * stem, kernel, groups=n, bias=False)
        self.norm1 = SpectrumNorm(n * stem)
        self.conv2 = SpectrumConv(n * stem, n * channels, kernel, groups=n, bias=False)
        self.norm2 = SpectrumNorm(n * channels)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Float[Tensor, "batch n 600"]) -> Float[Tensor, "batch n L C"]:
        """Token maps O^i of all modalities."""
        x = F.relu(F.max_pool2d(self.norm1(self.conv1(x.unsqueeze(2))), (1, self.pools[0])))  # Eq. 2
        x = F.relu(F.max_pool2d(self.norm2(self.conv2(x)), (1, self.pools[1])))
        return x.squeeze(2).unflatten(1, (self.n, -1)).transpose(2, 3)


class CrossModalGate(nn.Module):
    """Importance of every token, read from attention over the tokens of all modalities (Eqs. 3 to 5).

    One attention serves all modalities: the tokens of all of them are queries of a single batched call. The embeddings
    of position and modality, added before Eq. 3, are not in the paper: without them attention could not tell where a
    token lies.
    """

    def __init__(self, n: int, tokens: int, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.position = nn.Parameter(0.02 * torch.randn(tokens, channels))
        self.modality = nn.Parameter(0.02 * torch.randn(n, 1, channels))
        self.joint = nn.Linear(channels, channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.attended = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 1))

    def forward(
        self, tokens: Float[Tensor, "batch n L C"], present: Bool[Tensor, "batch n"]
    ) -> Float[Tensor, "batch n L"]:
        """Gate logits; their sigmoid is p^i of Eq. 5. Tokens of absent modalities are not attended to."""
        batch, n, length, _ = tokens.shape
        o_cat = self.joint((tokens + self.modality + self.position).flatten(1, 2))  # Eq. 3: (batch, n L, C)
        q = self.query(tokens.flatten(1, 2)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        kv = self.key_value(o_cat).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None
        if n > 1:
            mask = (present | ~present.any(dim=1, keepdim=True)).repeat_interleave(length, dim=1)[:, None, None, :]
        o_attn = attention(q, kv[0], kv[1], mask)  # Eq. 4: (batch, heads, n L, d)
        o_attn = self.attended(o_attn.transpose(1, 2).flatten(2))
        return self.mlp(o_attn).view(batch, n, length)  # Eq. 5, before the sigmoid


class AuxiliaryPredictor(nn.Module):
    """Small CNN that predicts the groups with one modality left out: p(Y | T^not i), for all i at once.

    The first convolution is linear, so the sum over all modalities minus the own contribution is exactly the
    input without modality i, and nothing is computed twice.
    """

    def __init__(self, n: int, tokens: int, channels: int, n_groups: int, width: int = 16, hidden: int = 64):
        super().__init__()
        self.n, self.as_products = n, False
        self.conv = nn.Conv1d(n * channels, n * width, 3, padding="same", groups=n, bias=False)
        self.bias = nn.Parameter(torch.zeros(width, 1))
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(width * (tokens // 2), hidden),
            nn.ReLU(),
            Dropout(0.1),
            nn.Linear(hidden, n_groups),
        )

    def forward(self, representation: Float[Tensor, "batch n L C"]) -> Float[Tensor, "batch n group"]:
        """Logits without modality i, for i = 1..n. Absent modalities must be zero."""
        channels = representation.transpose(2, 3).flatten(1, 2)
        own = convolve(channels, self.conv.weight, self.n) if self.as_products else self.conv(channels)
        own = own.unflatten(1, (self.n, -1))
        without = own.sum(dim=1, keepdim=True) - own + self.bias  # (batch, n, width, L)
        z = F.max_pool1d(F.relu(without).flatten(0, 1), 2)
        return self.head(z).unflatten(0, (-1, self.n))


@dataclass
class Representation:
    """What the bottleneck makes of the spectra: T^i with its gates, and what the bound needs."""

    tokens: Float[Tensor, "batch n L C"]
    gate: Float[Tensor, "batch n L"]
    mean: Float[Tensor, "batch n C"]
    std: Float[Tensor, "batch n C"]
    t: Float[Tensor, "batch n L C"]


class SymSpectra(SpectrumClassifier):
    """The paper's model. Options are described in `symspectra.config.Config`, whose fields it takes.

    Parameters
    ----------
    config : sizes and options; ``config.modalities`` says how many spectra a molecule has
    order : permutation of the groups for the decoder (`symspectra.groups.orders`)
    n_groups : number of functional groups
    """

    def __init__(self, config, order: tuple[int, ...], n_groups: int = 37):
        super().__init__()
        self.config, c = config, config
        n = len(c.modalities)
        self.encoder = SpectralEncoder(n, c.stem, c.channels, c.kernel, c.pools)
        length = self.encoder.tokens
        self.gate = CrossModalGate(n, length, c.channels, c.heads)
        self.fuse = nn.Sequential(
            nn.Flatten(), nn.Linear(n * length * c.channels, c.hidden), nn.ReLU(), Dropout(c.dropout)
        )
        self.main = nn.Linear(c.hidden, n_groups)
        self.auxiliary = AuxiliaryPredictor(n, length, c.channels, n_groups)
        self.decoder = None
        if c.decoder != "none":
            self.decoder = LabelDecoder(
                c.hidden, order, c.decoder_hidden, 32, c.decoder_dropout, c.conditioning, c.decoder
            )
        self.weighting = CMIWeighting(n_groups, c.weighting, c.s1, c.s2, c.weight_ramp)

    def prepare(self, y_train: Bool[Tensor, "molecule group"]) -> None:
        """Let the decoder follow the order of the configuration, which may be learned from these labels (App. L)."""
        if self.decoder is not None:
            self.decoder.order.copy_(torch.tensor(label_order(self.config.order, y_train)))

    def represent(self, x: Float[Tensor, "batch n 600"], present: Bool[Tensor, "batch n"]) -> Representation:
        """Encode the spectra and pass them through the bottleneck; sampled in training, expected in evaluation."""
        tokens = self.encoder(x)
        mean, std = token_statistics(tokens, self.config.sigma_floor, self.config.prior)
        if not self.config.bottleneck:
            gate, t = torch.ones_like(tokens[..., 0]), tokens
            return Representation(tokens, gate, mean, std, t * present[:, :, None, None])
        logit = self.gate(tokens, present)
        if self.training:
            gate = concrete_gate(logit, self.config.temperature)
            t = inject_noise(tokens, gate, mean, std, self.config.prior)
        else:
            gate = torch.sigmoid(logit.float())
            t = tokens if self.config.eval_gate == "clean" else expected_representation(tokens, gate, mean)
        return Representation(tokens, gate, mean, std, t * present[:, :, None, None])

    def forward(
        self, x: Float[Tensor, "batch n 600"], present: Bool[Tensor, "batch n"]
    ) -> Float[Tensor, "batch group"]:
        """Logits of the main predictor, p(Y | T^i, T^not i)."""
        return self.main(self.fuse(self.represent(x, present).t))

    def loss(
        self,
        x: Float[Tensor, "batch n 600"],
        present: Bool[Tensor, "batch n"],
        y: Float[Tensor, "batch group"],
        epoch: int | Int[Tensor, ""],
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Eq. 10 for main predictor and decoder, the auxiliary's cross-entropy, and beta times the bound."""
        c, r = self.config, self.represent(x, present)
        fused = self.fuse(r.t)
        main = self.main(fused).float()
        auxiliary = self.auxiliary(r.t.detach()).float()  # an estimator: it does not train the encoder

        bce = F.binary_cross_entropy_with_logits
        bce_main = bce(main, y, reduction="none")
        bce_aux = bce(auxiliary, y.unsqueeze(1).expand_as(auxiliary), reduction="none")
        cmi = pointwise_cmi(bce_aux.detach(), bce_main.detach(), present, c.cmi_reduce)
        weight = self.weighting(cmi, epoch)

        loss_main = (weight * bce_main).mean()  # Eq. 10
        loss_aux = _over_present(bce_aux, present)
        logs = {"main": loss_main, "auxiliary": loss_aux, "gate": r.gate.mean()}
        total = loss_main + loss_aux
        if self.decoder is not None:
            prefix = scheduled_prefix(y, main, epoch, c.teacher_forcing, c.teacher_forcing_decay)
            decoder = self.decoder(fused, main, prefix).float()
            logs["decoder"] = (weight * bce(decoder, y, reduction="none")).mean()  # Eq. 10
            total = total + logs["decoder"]
        if c.bottleneck:
            logs["bound"] = compression_bound(r.tokens, r.gate, r.mean, r.std, present, c.cross_term, c.prior)
            total = total + c.beta * logs["bound"]  # Eqs. 18, 19
        if c.penalty:
            logs["context_information"] = self.context_information(r.t, present, y)
            total = total + c.penalty * logs["context_information"]
        return total, {name: value.detach() for name, value in logs.items()} | {"element_weight": weight}

    def context_information(
        self, t: Float[Tensor, "batch n L C"], present: Bool[Tensor, "batch n"], y: Float[Tensor, "batch group"]
    ) -> Float[Tensor, ""]:
        """Estimate of I(Y; T^not i), in nats a group: the term that Eq. 15 leaves out (Table 5, Observation 11).

        It is H(Y) - H(Y | T^not i), with the entropy of the batch's labels and the cross-entropy of the auxiliary
        predictor, whose own weights it does not train. Information is not negative: where the auxiliary predictor
        does worse than the frequencies of the groups the estimate is put at zero, and pushes no further.
        """
        frozen = {name: parameter.detach() for name, parameter in self.auxiliary.named_parameters()}
        logits = torch.func.functional_call(self.auxiliary, frozen, (t,)).float()
        frequency = across(y.mean(dim=0))
        entropy = F.binary_cross_entropy(frequency, frequency, reduction="none").mean()
        targets = y.unsqueeze(1).expand_as(logits)
        unknown = across(F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=(0, 2)))
        known = entropy - unknown
        return (known.clamp_min(0) * present.any(dim=0)).mean()

    @torch.no_grad()
    def predict(
        self, x: Float[Tensor, "batch n 600"], present: Bool[Tensor, "batch n"]
    ) -> Float[Tensor, "batch group"]:
        """Probabilities from the free-running decoder, the main predictor, or their mean (``prediction``)."""
        fused = self.fuse(self.represent(x, present).t)
        main = self.main(fused).float()
        if self.decoder is None or self.config.prediction == "main":
            return main.sigmoid()
        decoder = self.decoder.decode(fused, main).float().sigmoid()
        return decoder if self.config.prediction == "decoder" else (decoder + main.sigmoid()) / 2

    @torch.no_grad()
    def gates(self, x: Float[Tensor, "batch n 600"], present: Bool[Tensor, "batch n"]) -> Float[Tensor, "batch n L"]:
        """Importance p^i of every token of every spectrum (Eq. 5); token k is centred on points k s to
        (k + 1) s, with s = ``pools[0] * pools[1]``; what is left over at the end belongs to none."""
        return torch.sigmoid(self.gate(self.encoder(x), present).float())


def _over_present(loss: Float[Tensor, "batch n group"], present: Bool[Tensor, "batch n"]) -> Float[Tensor, ""]:
    """Mean of a loss over the modalities that were measured."""
    measured = present.unsqueeze(-1).float()
    return (loss * measured).sum() / (across(measured.sum()) * loss.shape[2]).clamp_min(1)
