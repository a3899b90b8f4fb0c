"""Three Transformer baselines behind the same interface as SymSpectra.

All three are encoder adaptations: the public code generates a molecule as SMILES text and has no head for
functional groups. Here the encoder reads the spectra, its tokens are pooled and go through one linear layer to the
logits, and there is no molecular formula in the input.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from symspectra.models.base import Groups, Present, Spectra, SpectrumClassifier

POINTS = 600
Tokens = Float[Tensor, "batch n token width"]


def quantise(x: Float[Tensor, "*shape point"], top: int) -> Float[Tensor, "*shape point"]:
    """Spectra scaled so that their own maximum is ``top``, within 0 to ``top``; all zeros stay zeros."""
    largest = x.amax(dim=-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return (x / largest * top).clamp(0, top)


def sinusoids(tokens: int, width: int) -> Float[Tensor, "token width"]:
    """Sinusoidal positions of Vaswani et al. (arXiv:1706.03762, section 3.5)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(tokens).unsqueeze(1) * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :width]


def attend(
    qkv: Float[Tensor, "batch token qkv"], heads: int, mask: Bool[Tensor, "batch 1 1 token"] | None = None
) -> Float[Tensor, "batch token width"]:
    """Multi-head attention of tokens to each other; ``qkv`` holds queries, keys and values side by side."""
    q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)  # (batch, heads, token, width / heads)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class EncoderLayer(nn.Module):
    """``x + Attention(LayerNorm(x))``, then ``x + FeedForward(LayerNorm(x))``.

    The layer norm comes first (pre-norm) because it does so in the code of all three baselines, OpenNMT-py included.
    Dropout is on both branches and inside the feed-forward network, not on the attention weights: PyTorch's fused
    attention on a CPU has none, and without the fused one the step takes three to four times as long.

    Parameters
    ----------
    gated : feed-forward ``W2 (GELU(W1 x) * Wg x)`` in place of ``W2 ReLU(W1 x)``
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float, gated: bool):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.gate = nn.Linear(width, feedforward) if gated else None
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch token width"], mask: Bool[Tensor, "batch 1 1 token"]
    ) -> Float[Tensor, "batch token width"]:
        """Tokens after attention to the tokens where ``mask`` is true, and after the feed-forward network."""
        x = x + self.dropout(self.attended(attend(self.qkv(self.norm1(x)), self.heads, mask)))
        z = self.norm2(x)
        z = F.relu(self.expand(z)) if self.gate is None else F.gelu(self.expand(z)) * self.gate(z)
        return x + self.dropout(self.contract(self.dropout(z)))


class TransformerClassifier(SpectrumClassifier):
    """What the three have in common: encoder layers over the tokens of all present modalities, pooling, linear head.

    A subclass defines ``embed``. The tokens are summed and divided by the square root of their number: in their mean, a
    peak that one token in a hundred shows would hardly reach the head. Tokens of absent modalities are not attended
    to and are left out of the sum; without any modality it is zero. Weight matrices start as Glorot and Bengio's
    (Xavier, uniform), those of query, key and value each for itself.
    """

    def __init__(
        self,
        n_groups: int = 37,
        width: int = 512,
        layers: int = 4,
        attention_heads: int = 8,
        feedforward: int = 2048,
        dropout: float = 0.1,
        gated: bool = False,
    ):
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(width, attention_heads, feedforward, dropout, gated) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_groups)
        self.dropout = nn.Dropout(dropout)

    @torch.no_grad()
    def initialise(self) -> None:
        """Draw all weight matrices."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                for matrix in module.weight.chunk(3 if name.endswith("qkv") else 1):
                    nn.init.xavier_uniform_(matrix)

    def embed(self, x: Spectra) -> Tokens:
        """Tokens of each spectrum, with what tells their position and modality."""
        raise NotImplementedError

    def forward(self, x: Spectra, present: Present) -> Groups:
        """Logits of the functional groups."""
        tokens = self.embed(x.masked_fill(~present.unsqueeze(-1), 0.0))
        n, length = tokens.shape[1:3]
        keys = present | ~present.any(dim=1, keepdim=True)  # attention needs something to attend to
        mask = keys.repeat_interleave(length, dim=1)[:, None, None, :]
        z = tokens.flatten(1, 2)
        for layer in self.layers:
            z = layer(z, mask)
        sums = self.norm(z).unflatten(1, (n, length)).sum(dim=2)  # (batch, n, width)
        share = present / (length * present.sum(dim=1, keepdim=True)).clamp_min(1).sqrt()
        return self.head((sums * share.unsqueeze(-1)).sum(dim=1))


class TokenTransformer(TransformerClassifier):
    """Transformer of OpenNMT (Klein et al., arXiv:1805.11462) as Alberts et al. use it on spectra (arXiv:2407.17492).

    A spectrum becomes a word of integers 0 to 100 (its own maximum is 100), one token per point, after a token that
    names the modality; tokens are embedded, scaled by sqrt(width), and get sinusoidal positions over the whole
    sequence. The encoder has the published sizes by default.

    Adapted besides the head: all modalities are spectra, where the public code reads the NMR spectra as peak lists and
    the mass spectra as pairs of numbers; a spectrum is brought to ``points`` by the maximum of each block, since
    interpolation, as published for infrared, steps over the lines of an NMR spectrum that are narrower than the new
    grid; no dropout on the attention weights.

    Parameters
    ----------
    points : tokens per spectrum, 1 to 600
    """

    levels = 101

    def __init__(self, n_modalities: int, n_groups: int = 37, points: int = 400, **sizes: Any):
        super().__init__(n_groups, **sizes)
        width = self.head.in_features
        self.points = points
        self.vocabulary = nn.Embedding(self.levels + n_modalities, width)
        names = torch.arange(self.levels, self.levels + n_modalities)
        self.register_buffer("names", names, persistent=False)
        positions = sinusoids(n_modalities * (points + 1), width).unflatten(0, (n_modalities, points + 1))
        self.register_buffer("positions", positions, persistent=False)
        self.initialise()

    def tokens(self, x: Spectra) -> Int[Tensor, "batch n token"]:
        """Words of a molecule: a modality's name, then its spectrum as integers 0 to 100."""
        levels = quantise(F.adaptive_max_pool1d(x, self.points), self.levels - 1).round().long()
        return torch.cat([self.names.expand(len(x), -1).unsqueeze(-1), levels], dim=-1)

    def embed(self, x: Spectra) -> Tokens:
        """Embedded words with their positions."""
        scaled = self.vocabulary.weight * math.sqrt(self.vocabulary.embedding_dim)
        return self.dropout(F.embedding(self.tokens(x), scaled) + self.positions)


class PatchAttention(nn.Module):
    """Self-attention among the points of a patch; the points side by side through a linear layer make a token.

    A point is known by its integer alone, so query, key and value are computed once per integer and looked up. All
    patches of zeros, most of the patches of line spectra, have one token, computed once.
    """

    def __init__(self, levels: int, patch: int, inner: int, heads: int, width: int):
        super().__init__()
        self.heads = heads
        self.values = nn.Embedding(levels, inner)
        self.qkv, self.attended = nn.Linear(inner, 3 * inner), nn.Linear(inner, inner)
        self.join = nn.Linear(patch * inner, width)

    def forward(self, levels: Int[Tensor, "*shape patch"]) -> Float[Tensor, "*shape width"]:
        """One token per patch."""
        table = self.qkv(self.values.weight * math.sqrt(self.values.embedding_dim))
        if levels.is_cuda:  # all patches: a captured step has fixed shapes
            points = self.attended(attend(F.embedding(levels.flatten(0, -2), table), self.heads))
            return self.join(points.flatten(1)).unflatten(0, levels.shape[:-1])
        filled = levels.any(dim=-1)
        patches = torch.cat([levels.new_zeros(1, levels.shape[-1]), levels[filled]])
        points = self.attended(attend(F.embedding(patches, table), self.heads))  # (1 + filled, patch, inner)
        tokens = self.join(points.flatten(1))
        row = filled.flatten().cumsum(0).view_as(filled) * filled  # of `tokens`; 0 is the patch of zeros
        return F.embedding(row, tokens)


class PatchTransformer(TransformerClassifier):
    """Patch-based self-attention of Wu et al. (J. Phys. Chem. A 2025, 129, 2077).

    The points of a spectrum as integers 0 to 99 (its own maximum is 99, truncated) are embedded and scaled by the root
    of the width; self-attention within each patch; the patch, flattened, through a linear layer is one token;
    sinusoidal positions; pre-norm encoder layers of the published sizes by default, with a last layer norm.

    Adapted besides the head: 600 points in patches of 20 in place of 3200 in patches of 64; several modalities share
    the patch attention and are told apart by a learned embedding; the formula that the public code prepends is left
    out; no dropout on the attention weights.

    Parameters
    ----------
    patch : points per patch, a divisor of 600
    inner : width of embedding and attention within a patch; the number of heads divides it
    """

    levels = 100

    def __init__(self, n_modalities: int, n_groups: int = 37, patch: int = 20, inner: int = 512, **sizes: Any):
        super().__init__(n_groups, **sizes)
        width, heads = self.head.in_features, self.layers[0].heads
        self.patch = patch
        self.patches = PatchAttention(self.levels, patch, inner, heads, width)
        self.modality = nn.Embedding(n_modalities, width)
        length = POINTS // patch
        positions = sinusoids(n_modalities * length, width).unflatten(0, (n_modalities, length))
        self.register_buffer("positions", positions, persistent=False)
        self.initialise()

    def embed(self, x: Spectra) -> Tokens:
        """One token per patch, with its position and modality."""
        levels = quantise(x, self.levels - 1).long().unflatten(-1, (-1, self.patch))
        return self.dropout(self.patches(levels) + (self.positions + self.modality.weight.unsqueeze(1)))


class PatchEmbeddingTransformer(TransformerClassifier):
    """Patch embeddings and gated encoder layers of Alberts et al. (Digital Discovery 2025).

    Spectra are standardised, cut into patches, each through its modality's own linear layer and layer norm; learned
    positions, with a layer norm of their own, over the sequence of all modalities; pre-norm encoder layers with the
    gated feed-forward network, of the published sizes by default, with a last layer norm.

    Adapted besides the head: all modalities are spectra in patches, where the public code reads NMR spectra as text;
    600 points in patches of 25 in place of 1800 in patches of 75, the same 24 tokens; the formula is left out; no
    dropout on the attention weights. Mean and standard deviation of a modality are, as published, over the non-zero
    values of the training spectra; they are collected while training, over all batches so far, and used alike in
    training and evaluation.

    Parameters
    ----------
    patch : points per patch, a divisor of 600
    """

    def __init__(self, n_modalities: int, n_groups: int = 37, patch: int = 25, layers: int = 6, **sizes: Any):
        super().__init__(n_groups, layers=layers, gated=True, **sizes)
        width = self.head.in_features
        self.patch, n = patch, n_modalities
        self.register_buffer("seen", torch.zeros(n, 1, dtype=torch.long))  # non-zero values so far
        self.register_buffer("mean", torch.zeros(n, 1))
        self.register_buffer("mean_square", torch.ones(n, 1))
        bound = math.sqrt(6 / (patch + width))  # Xavier, for each modality's matrix
        self.weight = nn.Parameter(torch.empty(n, patch, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n, 1, width))
        self.scale, self.shift = nn.Parameter(torch.ones(n, 1, width)), nn.Parameter(torch.zeros(n, 1, width))
        self.positions = nn.Embedding(n * POINTS // patch, width)
        self.position_norm = nn.LayerNorm(width)
        self.initialise()

    @torch.no_grad()
    def collect(self, x: Spectra) -> None:
        """Bring mean and mean square of the non-zero values up to date."""
        count, x_sum, square_sum = (values.sum(dim=(0, 2)).unsqueeze(-1) for values in (x != 0, x, x.square()))
        self.seen += count
        share, count = count / self.seen.clamp_min(1), count.clamp_min(1)
        self.mean += share * (x_sum / count - self.mean)
        self.mean_square += share * (square_sum / count - self.mean_square)

    def standardise(self, x: Spectra) -> Spectra:
        """Spectra minus the mean, divided by the standard deviation."""
        return (x - self.mean) / (self.mean_square - self.mean.square()).clamp_min(1e-8).sqrt()

    def embed(self, x: Spectra) -> Tokens:
        """One token per patch, with its position."""
        if self.training:
            self.collect(x)
        patches = self.standardise(x).unflatten(-1, (-1, self.patch))
        tokens = F.layer_norm(patches @ self.weight + self.bias, (self.weight.shape[-1],)) * self.scale + self.shift
        return tokens + self.position_norm(self.positions.weight).view(tokens.shape[1:])
