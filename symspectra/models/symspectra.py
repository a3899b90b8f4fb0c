"""SymSpectra (Figure 2): encoders, cross-modal gates, bottleneck, three predictors, objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from symspectra.models.base import Groups, Losses, Present, Spectra, SpectrumClassifier
from symspectra.models.bottleneck import (
    Gates,
    Moment,
    Tokens,
    compression_bound,
    concrete_gate,
    inject_noise,
    mean_gate,
    mean_representation,
    token_statistics,
)
from symspectra.models.decoder import LabelDecoder, scheduled_prefix
from symspectra.models.layers import ConvBlock
from symspectra.models.weighting import CMIWeighting, pointwise_cmi

OfEach = Float[Tensor, "batch n group"]  # one answer per modality that is left out


class SpectralEncoder(nn.Module):
    """Two convolution blocks, each modality with its own weights (Eq. 2).

    Grouped convolutions hold the modalities' weights side by side, so that one call encodes all of them.

    ``(batch, n, 600) -> (batch, n, L, C)`` with ``L = 600 // pools[0] // pools[1]``.
    """

    def __init__(self, n: int, stem: int, channels: int, kernel: int, pools: tuple[int, int]):
        super().__init__()
        self.n, self.tokens = n, 600 // pools[0] // pools[1]
        self.block1 = ConvBlock(n, n * stem, kernel, pools[0], groups=n, bias=False)
        self.block2 = ConvBlock(n * stem, n * channels, kernel, pools[1], groups=n, bias=False)

    def forward(self, x: Spectra) -> Tokens:
        """Token maps O^i of all modalities."""
        return self.block2(self.block1(x)).unflatten(1, (self.n, -1)).transpose(2, 3)  # Eq. 2


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

    def forward(self, tokens: Tokens, present: Present) -> Gates:
        """Gate logits; their sigmoid is p^i of Eq. 5. Tokens of absent modalities are not attended to."""
        batch, n, length, _ = tokens.shape
        o_cat = self.joint((tokens + self.modality + self.position).flatten(1, 2))  # Eq. 3: (batch, n L, C)
        q = self.query(tokens.flatten(1, 2)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        kv = self.key_value(o_cat).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None
        if n > 1:
            mask = (present | ~present.any(dim=1, keepdim=True)).repeat_interleave(length, dim=1)[:, None, None, :]
        o_attn = F.scaled_dot_product_attention(q, kv[0], kv[1], attn_mask=mask)  # Eq. 4: (batch, heads, n L, d)
        o_attn = self.attended(o_attn.transpose(1, 2).flatten(2))
        return self.mlp(o_attn).view(batch, n, length)  # Eq. 5, before the sigmoid


class AuxiliaryPredictor(nn.Module):
    """Small CNN that predicts the groups with one modality left out: p(Y | T^not i), for all i at once.

    The first convolution is linear, so the sum over all modalities minus the own contribution is exactly the
    input without modality i, and nothing is computed twice.
    """

    def __init__(self, n: int, tokens: int, channels: int, n_groups: int, width: int = 16, hidden: int = 64):
        super().__init__()
        self.n = n
        self.conv = nn.Conv1d(n * channels, n * width, 3, padding="same", groups=n, bias=False)
        self.bias = nn.Parameter(torch.zeros(width, 1))
        dense = nn.Linear(width * (tokens // 2), hidden)
        self.head = nn.Sequential(nn.Flatten(), dense, nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, n_groups))

    def forward(self, representation: Tokens) -> OfEach:
        """Logits without modality i, for i = 1..n. Absent modalities must be zero."""
        own = self.conv(representation.transpose(2, 3).flatten(1, 2)).unflatten(1, (self.n, -1))
        without = own.sum(dim=1, keepdim=True) - own + self.bias  # (batch, n, width, L)
        z = F.max_pool1d(F.relu(without).flatten(0, 1), 2)
        return self.head(z).unflatten(0, (-1, self.n))


@dataclass
class Representation:
    """What the bottleneck makes of the spectra: T^i with its gates, and what the bound needs."""

    tokens: Tokens
    gate: Gates
    mean: Moment
    std: Moment
    t: Tokens


class SymSpectra(SpectrumClassifier):
    """The paper's model.

    Parameters
    ----------
    options : the sizes and options that `symspectra.config.Config` describes, as attributes
    modalities : names of the spectra, in the order of the axis ``n``
    order : permutation of the groups for the decoder, or a function that learns one from the labels (App. L)
    n_groups : number of functional groups
    """

    def __init__(
        self,
        options: Any,
        modalities: Sequence[str],
        order: Sequence[int] | Callable[[Tensor], Sequence[int]],
        n_groups: int = 37,
    ):
        super().__init__()
        self.options, self.modalities, self.learn_order = options, tuple(modalities), None
        if callable(order):
            self.learn_order, order = order, range(n_groups)
        o, n = options, len(self.modalities)
        self.encoder = SpectralEncoder(n, o.stem, o.channels, o.kernel, o.pools)
        length = self.encoder.tokens
        self.gate = CrossModalGate(n, length, o.channels, o.heads)
        dense = nn.Linear(n * length * o.channels, o.hidden)
        self.fuse = nn.Sequential(nn.Flatten(), dense, nn.ReLU(), nn.Dropout(o.dropout))
        self.main = nn.Linear(o.hidden, n_groups)
        self.auxiliary = AuxiliaryPredictor(n, length, o.channels, n_groups)
        self.decoder = None
        if o.decoder != "none":
            self.decoder = LabelDecoder(
                o.hidden, tuple(order), o.decoder_hidden, 32, o.decoder_dropout, o.conditioning, o.decoder
            )
        self.weighting = CMIWeighting(n_groups, o.weighting, o.s1, o.s2, o.weight_ramp)
        self.register_buffer("truth", torch.tensor(o.teacher_forcing), persistent=False)

    def prepare(self, y_train: Bool[Tensor, "molecule group"]) -> None:
        """Learn the order of the decoder from these labels, where it is a learned one (App. L)."""
        if self.decoder is not None and self.learn_order is not None:
            self.decoder.order.copy_(torch.tensor(self.learn_order(y_train)))

    def begin_epoch(self, epoch: int) -> None:
        """Set teacher forcing and the growth of the weights for an epoch, which counts from 0."""
        self.truth.fill_(self.options.teacher_forcing * self.options.teacher_forcing_decay**epoch)
        self.weighting.begin_epoch(epoch)

    def represent(self, x: Spectra, present: Present, sample: bool | None = None) -> Representation:
        """Encode the spectra and pass them through the bottleneck.

        Eq. 6 is sampled in training, and put at its mean in evaluation, unless ``sample`` says which.
        """
        tokens = self.encoder(x)
        mean, std = token_statistics(tokens, self.options.sigma_floor, self.options.prior)
        if not self.options.bottleneck:
            gate, t = torch.ones_like(tokens[..., 0]), tokens
        elif self.training if sample is None else sample:
            gate = concrete_gate(self.gate(tokens, present), self.options.temperature)
            t = inject_noise(tokens, gate, mean, std, self.options.prior)
        else:
            logit = self.gate(tokens, present).float()
            relaxed = self.options.eval_gate == "mean"
            gate = mean_gate(logit, self.options.temperature) if relaxed else torch.sigmoid(logit)
            t = tokens if self.options.eval_gate == "clean" else mean_representation(tokens, gate, mean)
        return Representation(tokens, gate, mean, std, t * present[:, :, None, None])

    def forward(self, x: Spectra, present: Present) -> Groups:
        """Logits of the main predictor, p(Y | T^i, T^not i)."""
        return self.main(self.fuse(self.represent(x, present).t))

    # objective = main + decoder (Eq. 10) + auxiliary + beta * bound (Eqs. 18, 19) [+ penalty * I(Y; T^not i)]
    def loss(self, x: Spectra, present: Present, y: Groups) -> Losses:
        """The objective; the auxiliary predictor is an estimator, which does not train the encoder."""
        o, r, bce = self.options, self.represent(x, present), F.binary_cross_entropy_with_logits
        fused = self.fuse(r.t)
        main = self.main(fused).float()
        auxiliary = self.auxiliary(r.t.detach()).float()

        bce_main = bce(main, y, reduction="none")
        bce_aux = bce(auxiliary, y.unsqueeze(1).expand_as(auxiliary), reduction="none")
        cmi = pointwise_cmi(bce_aux.detach(), bce_main.detach(), present, o.cmi_reduce)  # Eq. 9
        weight, sample_weight = self.weighting(cmi)  # Eqs. 11, 12

        terms = {"main": (weight * bce_main).mean()}  # Eq. 10
        terms["auxiliary"] = _over_present(bce_aux, present)
        total = terms["main"] + terms["auxiliary"]
        if self.decoder is not None:
            decoder = self.decoder(fused, main, scheduled_prefix(y, main, self.truth)).float()
            terms["decoder"] = (weight * bce(decoder, y, reduction="none")).mean()  # Eq. 10
            total = total + terms["decoder"]
        if o.bottleneck:
            terms["bound"] = compression_bound(
                r.tokens, r.gate, r.mean, r.std, present, o.cross_term, o.prior, o.aggregate
            )
            total = total + o.beta * terms["bound"]  # Eqs. 18, 19
        if o.penalty:
            terms["context_information"] = self.context_information(r.t, present, y)
            total = total + o.penalty * terms["context_information"]
        terms["gate"] = r.gate.mean()
        return Losses(total, {name: value.detach() for name, value in terms.items()}, weight, sample_weight)

    def context_information(self, t: Tokens, present: Present, y: Groups) -> Float[Tensor, ""]:
        """Estimate of I(Y; T^not i), in nats per group: the term that Eq. 15 leaves out (Table 5, Observation 11).

        It is H(Y) - H(Y | T^not i), with the entropy of the batch's labels and the cross-entropy of the auxiliary
        predictor, whose own weights it does not train. Information is not negative: where the auxiliary predictor
        does worse than the frequencies of the groups the estimate is put at zero, and pushes no further.
        """
        frozen = {name: parameter.detach() for name, parameter in self.auxiliary.named_parameters()}
        logits = torch.func.functional_call(self.auxiliary, frozen, (t,)).float()
        frequency = y.mean(dim=0)
        entropy = F.binary_cross_entropy(frequency, frequency, reduction="none").mean()
        targets = y.unsqueeze(1).expand_as(logits)
        unknown = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=(0, 2))
        known = entropy - unknown
        return (known.clamp_min(0) * present.any(dim=0)).mean()

    @torch.no_grad()
    def predict(self, x: Spectra, present: Present) -> Groups:
        """Probabilities from the free-running decoder, the main predictor, or their mean (``prediction``)."""
        fused = self.fuse(self.represent(x, present).t)
        main = self.main(fused).float()
        if self.decoder is None or self.options.prediction == "main":
            return main.sigmoid()
        decoder = self.decoder.decode(fused, main).float().sigmoid()
        return decoder if self.options.prediction == "decoder" else (decoder + main.sigmoid()) / 2

    @torch.no_grad()
    def gates(self, x: Spectra, present: Present) -> Gates:
        """Importance p^i of every token of every spectrum (Eq. 5); token k is centred on points k s to
        (k + 1) s, with s = ``pools[0] * pools[1]``; what is left over at the end belongs to none."""
        return torch.sigmoid(self.gate(self.encoder(x), present).float())


def _over_present(loss: OfEach, present: Present) -> Float[Tensor, ""]:
    """Mean of a loss over the modalities that were measured."""
    measured = present.unsqueeze(-1).float()
    return (loss * measured).sum() / (measured.sum() * loss.shape[2]).clamp_min(1)
