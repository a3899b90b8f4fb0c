"""The sequential decoder: functional groups predicted one after the other in a chosen order (section 2.2.4)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

CONDITIONINGS = ("residual", "input", "h0")
BOS = 2  # "no label before the first"


class LSTMDecoder(nn.Module):
    """LSTM over the groups in the order ``order``; step k predicts the k-th group from those before it.

    Parameters
    ----------
    fused : width of the fused representation T_f
    order : permutation of the groups, 0-based positions in Table 8
    conditioning : how T_f reaches the steps, besides the initial state ``h_0 = tanh(Linear(T_f))``:
        ``"residual"``: the main predictor's logits are added at every step; ``"input"``: T_f enters every
        step; ``"h0"``: not at all, the paper read literally. With ``"residual"`` the decoder's loss trains the main
        predictor too.

    Not in the paper: the embedding of the position, and an output row of its own for every position.

    Raises
    ------
    ValueError : for an unknown conditioning.
    """

    def __init__(
        self,
        fused: int,
        order: tuple[int, ...],
        hidden: int = 128,
        embedding: int = 32,
        dropout: float = 0.1,
        conditioning: str = "residual",
    ):
        super().__init__()
        if conditioning not in CONDITIONINGS:
            raise ValueError(f"conditioning is {conditioning!r}; expected one of {', '.join(CONDITIONINGS)}")
        n_groups = len(order)
        self.conditioning = conditioning
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.register_buffer("rank", torch.tensor(order).argsort(), persistent=False)  # back to Table 8
        self.label_embedding = nn.Embedding(3, embedding)  # 0, 1, BOS
        self.position_embedding = nn.Parameter(0.02 * torch.randn(n_groups, embedding))
        self.initial = nn.Linear(fused, hidden)
        self.context = nn.Linear(fused, embedding) if conditioning == "input" else None
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        with torch.no_grad():
            self.lstm.bias_hh_l0.zero_()
            self.lstm.bias_ih_l0.zero_()
            self.lstm.bias_ih_l0[hidden : 2 * hidden] = 1.0  # forget gate
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Parameter(torch.randn(n_groups, hidden) / hidden**0.5)  # one row a position
        self.bias = nn.Parameter(torch.zeros(n_groups))

    def forward(
        self,
        fused: Float[Tensor, "batch fused"],
        main_logits: Float[Tensor, "batch group"],
        prefix: Float[Tensor, "batch group"],
    ) -> Float[Tensor, "batch group"]:
        """Logits of all steps in one LSTM call, step k seeing ``prefix`` of the k groups before it.

        Parameters
        ----------
        main_logits, prefix : in the order of Table 8, as is the result
        """
        labels = prefix[:, self.order].long()
        previous = torch.cat([torch.full_like(labels[:, :1], BOS), labels[:, :-1]], dim=1)
        hidden, _ = self.lstm(self._input(previous, fused), self._initial_state(fused))  # Eq. 13
        return self._logits(hidden, main_logits[:, self.order])[:, self.rank]

    @torch.no_grad()
    def decode(
        self, fused: Float[Tensor, "batch fused"], main_logits: Float[Tensor, "batch group"]
    ) -> Float[Tensor, "batch group"]:
        """Logits of the free-running decoder: each step is fed its own thresholded prediction of the step before."""
        base = main_logits[:, self.order]
        state = self._initial_state(fused)
        previous = torch.full_like(base[:, :1], BOS, dtype=torch.long)
        logits = []
        for k in range(base.shape[1]):
            hidden, state = self.lstm(self._input(previous, fused, k), state)
            logits.append(self._logits(hidden, base[:, k : k + 1], k))
            previous = (logits[-1] > 0).long()
        return torch.cat(logits, dim=1)[:, self.rank]

    def _steps(self, k: int | None) -> slice:
        return slice(None) if k is None else slice(k, k + 1)

    def _input(self, previous: Int[Tensor, "batch step"], fused: Tensor, k: int | None = None) -> Tensor:
        """Embedding of the previous label and of the position: all steps, or the k-th alone."""
        x = self.label_embedding(previous) + self.position_embedding[self._steps(k)]
        return x if self.context is None else x + self.context(fused).unsqueeze(1)

    def _initial_state(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        h0 = torch.tanh(self.initial(fused)).unsqueeze(0)
        return h0, torch.zeros_like(h0)

    def _logits(self, hidden: Tensor, base: Tensor, k: int | None = None) -> Tensor:
        steps = self._steps(k)
        logits = (self.dropout(hidden) * self.output[steps]).sum(dim=-1) + self.bias[steps]
        return logits + base if self.conditioning == "residual" else logits


def scheduled_prefix(
    y: Float[Tensor, "batch group"], main_logits: Float[Tensor, "batch group"], epoch: int, start: float, decay: float
) -> Float[Tensor, "batch group"]:
    """Labels that the decoder is fed in training: the truth with probability ``start * decay**epoch``, drawn for
    every step and sample, else the model's own prediction (Mihaylova & Martins 2019).

    The prediction is the main predictor's, so that all steps go through the LSTM in one call.
    """
    truth = torch.rand_like(y) < start * decay**epoch
    return torch.where(truth, y, (main_logits.detach() > 0).to(y.dtype))
