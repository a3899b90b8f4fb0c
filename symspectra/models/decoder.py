"""The sequential decoder: functional groups predicted one after the other in a chosen order (section 2.2.4)."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from symspectra.models.base import Groups

Fused = Float[Tensor, "batch fused"]
Steps = Float[Tensor, "batch step embedding"]
BOS = 2  # "no label before the first"


class Recurrent(nn.Module):
    """LSTM or GRU that starts from ``h_0 = tanh(Linear(T_f))`` (Eq. 13)."""

    def __init__(self, kind: str, fused: int, embedding: int, hidden: int):
        super().__init__()
        self.initial = nn.Linear(fused, hidden)
        self.steps = (nn.LSTM if kind == "lstm" else nn.GRU)(embedding, hidden, batch_first=True)
        if kind == "lstm":
            with torch.no_grad():
                self.steps.bias_hh_l0.zero_()
                self.steps.bias_ih_l0.zero_()
                self.steps.bias_ih_l0[hidden : 2 * hidden] = 1.0  # forget gate

    def start(self, fused: Fused) -> tuple[Tensor, ...] | Tensor:
        """State before the first step."""
        h0 = torch.tanh(self.initial(fused)).unsqueeze(0)
        return (h0, torch.zeros_like(h0)) if isinstance(self.steps, nn.LSTM) else h0

    def forward(self, x: Steps, state: Any) -> tuple[Tensor, Any]:
        """Hidden states (batch, step, hidden) of some steps, and the state after them."""
        if x.is_cuda:
            return self.steps(x, state)
        with torch.autocast(x.device.type, enabled=False):  # not every processor has a bf16 LSTM
            state = tuple(s.float() for s in state) if isinstance(state, tuple) else state.float()
            return self.steps(x.float(), state)


class CausalAttention(nn.Module):
    """Pre-norm Transformer layers whose steps see T_f, as a first token, and the steps before them.

    The state holds keys and values of what was seen, so that one step at a time costs no more than all at once.
    """

    def __init__(self, fused: int, embedding: int, hidden: int, layers: int = 2):
        super().__init__()
        self.heads = max(1, hidden // 16)
        self.initial, self.enter = nn.Linear(fused, hidden), nn.Linear(embedding, hidden)
        self.before = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))
        self.qkv = nn.ModuleList(nn.Linear(hidden, 3 * hidden) for _ in range(layers))
        self.after = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, 2 * hidden), nn.ReLU(), nn.Linear(2 * hidden, hidden))
            for _ in range(layers)
        )
        self.last = nn.LayerNorm(hidden)

    def start(self, fused: Fused) -> list[Tensor]:
        """Keys and values of the first token, T_f, layer by layer."""
        return self._run(self.initial(fused).unsqueeze(1), [None] * len(self.qkv))[1]

    def forward(self, x: Steps, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Hidden states (batch, step, hidden) of some steps, and the state after them."""
        return self._run(self.enter(x), state)

    def _run(self, x: Tensor, state: list[Tensor | None]) -> tuple[Tensor, list[Tensor]]:
        seen = []
        for norm, qkv, after, mlp, old in zip(self.before, self.qkv, self.after, self.mlp, state, strict=True):
            q, *kv = qkv(norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            kv = torch.stack(kv) if old is None else torch.cat([old, torch.stack(kv)], dim=3)
            seen.append(kv)  # (2, batch, heads, steps so far, d)
            n, total = x.shape[1], kv.shape[3]
            mask = torch.ones(n, total, dtype=torch.bool, device=x.device).tril(total - n)
            attended = F.scaled_dot_product_attention(q, kv[0], kv[1], attn_mask=mask)
            x = x + after(attended.transpose(1, 2).flatten(2))
            x = x + mlp(x)
        return self.last(x), seen


class LabelDecoder(nn.Module):
    """Groups one after the other in the order ``order``; step k predicts the k-th group from those before it.

    Parameters
    ----------
    fused : width of the fused representation T_f
    order : permutation of the groups, positions from 0 in the order of the labels
    kind : ``"lstm"`` (the paper's), ``"gru"`` or ``"transformer"`` (Table 9)
    conditioning : how T_f reaches the steps, besides the start (``h_0 = tanh(Linear(T_f))``, or the first token):
        ``"residual"``: the main predictor's logits are added at every step; ``"input"``: T_f enters every
        step; ``"h0"``: not at all, the paper read literally. With ``"residual"`` the decoder's loss trains the main
        predictor too.

    Not in the paper: the embedding of the position, and an output row of its own for every position.
    """

    def __init__(
        self,
        fused: int,
        order: tuple[int, ...],
        hidden: int = 128,
        embedding: int = 32,
        dropout: float = 0.1,
        conditioning: str = "residual",
        kind: str = "lstm",
    ):
        super().__init__()
        n_groups = len(order)
        self.conditioning = conditioning
        self.register_buffer("order", torch.tensor(order))  # part of the weights: it may come from training labels
        self.label_embedding = nn.Embedding(3, embedding)  # 0, 1, BOS
        self.position_embedding = nn.Parameter(0.02 * torch.randn(n_groups, embedding))
        self.context = nn.Linear(fused, embedding) if conditioning == "input" else None
        cell = CausalAttention if kind == "transformer" else functools.partial(Recurrent, kind)
        self.cell = cell(fused, embedding, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Parameter(torch.randn(n_groups, hidden) / hidden**0.5)  # one row per position
        self.bias = nn.Parameter(torch.zeros(n_groups))

    def forward(self, fused: Fused, main_logits: Groups, prefix: Groups) -> Groups:
        """Logits of all steps in one call, step k seeing ``prefix`` of the k groups before it.

        All groups, of the result too, are in the order of the labels.
        """
        labels = prefix[:, self.order].long()
        previous = torch.cat([torch.full_like(labels[:, :1], BOS), labels[:, :-1]], dim=1)
        hidden, _ = self.cell(self._input(previous, fused), self.cell.start(fused))  # Eq. 13
        return self._logits(hidden, main_logits[:, self.order])[:, self.order.argsort()]

    @torch.no_grad()
    def decode(self, fused: Fused, main_logits: Groups) -> Groups:
        """Logits of the free-running decoder: each step is fed its own thresholded prediction of the step before."""
        base = main_logits[:, self.order]
        state = self.cell.start(fused)
        previous = torch.full_like(base[:, :1], BOS, dtype=torch.long)
        logits = []
        for k in range(base.shape[1]):
            hidden, state = self.cell(self._input(previous, fused, k), state)
            logits.append(self._logits(hidden, base[:, k : k + 1], k))
            previous = (logits[-1] > 0).long()
        return torch.cat(logits, dim=1)[:, self.order.argsort()]

    def _steps(self, k: int | None) -> slice:
        return slice(None) if k is None else slice(k, k + 1)

    def _input(self, previous: Int[Tensor, "batch step"], fused: Tensor, k: int | None = None) -> Tensor:
        """Embedding of the previous label and of the position: all steps, or the k-th alone."""
        x = self.label_embedding(previous) + self.position_embedding[self._steps(k)]
        return x if self.context is None else x + self.context(fused).unsqueeze(1)

    def _logits(self, hidden: Tensor, base: Tensor, k: int | None = None) -> Tensor:
        steps = self._steps(k)
        logits = (self.dropout(hidden) * self.output[steps]).sum(dim=-1) + self.bias[steps]
        return logits + base if self.conditioning == "residual" else logits


def scheduled_prefix(y: Groups, main_logits: Groups, truth: float | Float[Tensor, ""]) -> Groups:
    """Labels that the decoder is fed in training: the truth with probability ``truth``, drawn for every step and
    sample, else the model's own prediction (Mihaylova & Martins 2019).

    The prediction is the main predictor's, so that all steps go through the decoder in one call.
    """
    return torch.where(torch.rand(y.shape, device=y.device) < truth, y, (main_logits.detach() > 0).to(y.dtype))
