"""Figure 2: the model as a diagram, with the shapes of a live model."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from symspectra.exhibits.style import PAGE, styled
from symspectra.modalities import KINDS
from symspectra.models.symspectra import SymSpectra

ARROWS = (
    ((16, 45.5), (21, 45.5), False),  # spectra to encoders
    ((42, 51), (46, 51), False),  # encoders to gate
    ((42, 36), (46, 33), False),  # encoders to bottleneck
    ((60, 42), (60, 37), False),  # gate to bottleneck
    ((74, 32), (78, 38), False),  # bottleneck to fusion
    ((97, 46), (101, 54), False),  # fusion to decoder
    ((97, 40), (101, 38.5), False),  # fusion to main predictor
    ((74, 23), (79, 20), True),  # bottleneck to auxiliary
    ((60, 20), (60, 15), True),  # bottleneck to bound
    ((100, 13), (103, 13), True),  # auxiliary to weights
    ((115, 32), (115, 22), True),  # main predictor to weights
)
BOTH, TRAINING, DATA = "#cfe3f1", "#f6dcc6", "#ececec"


def shapes(model: SymSpectra) -> dict[str, int]:
    """Sizes read from the model's own layers: modalities, tokens, channels, fused width, groups, parameters."""
    fuse = model.fuse[1]
    encoder = model.encoder
    return {
        "modalities": encoder.n,
        "points": 600,
        "stem": encoder.block1.conv.out_channels // encoder.n,
        "kernel": encoder.block1.conv.kernel_size[1],
        "tokens": encoder.tokens,
        "channels": encoder.block2.conv.out_channels // encoder.n,
        "heads": model.gate.heads,
        "fused_inputs": fuse.in_features,
        "fused": fuse.out_features,
        "groups": model.main.out_features,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def _box(ax: Axes, x: float, y: float, w: float, h: float, title: str, body: str, colour: str) -> None:
    ax.add_patch(FancyBboxPatch((x, y), w, h, boxstyle="round,pad=0,rounding_size=1", fc=colour, ec="0.35", lw=0.7))
    ax.text(x + w / 2, y + h - 1.2, title, ha="center", va="top", fontweight="bold", fontsize=7)
    ax.text(x + w / 2, y + (h - 3.2) / 2, body, ha="center", va="center", fontsize=6.2, linespacing=1.35)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], dashed: bool = False) -> None:
    style = {"arrowstyle": "-|>", "lw": 0.8, "color": "0.25", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
    ax.annotate("", end, start, arrowprops=style | ({"linestyle": (0, (3, 2))} if dashed else {}))


@styled
def architecture(model: SymSpectra) -> Figure:
    """Fig 2: spectra, encoders, gates, bottleneck, three predictors; what is only there in training is orange."""
    s = shapes(model)
    order = {"iupac": "IUPAC"}.get(model.options.order, model.options.order)
    n, length, c, groups = s["modalities"], s["tokens"], s["channels"], s["groups"]
    figure = Figure(figsize=(PAGE * 1.1, 3.9))
    ax = figure.add_axes((0.005, 0.01, 0.99, 0.98))
    ax.set(xlim=(0, 128), ylim=(0, 68))
    ax.axis("off")
    names = "\n".join(KINDS[m].figure_label for m in model.modalities)
    pools = model.encoder.block1.pool, model.encoder.block2.pool
    first, second = (f"Conv {s['kernel']}, {size}" for size in (f"1 to {s['stem']}", f"{s['stem']} to {c}"))
    kernels = f"{first}, pool {pools[0]}\n{second}, pool {pools[1]}"
    heads = f"{s['heads']} head{'s' if s['heads'] > 1 else ''}"
    attention = f"attention, {heads}:\n{n * length} tokens to {n * length} tokens\nMLP, sigmoid"
    mixing = "training: $T = \\lambda H + (1-\\lambda)\\,\\epsilon$\nuse: $T = p H + (1-p)\\,\\mu$"
    encoders = f"one per modality:\n{kernels}\n\ntokens $O^i = H$:\n{length} x {c} each"
    fusion = f"flatten: {s['fused_inputs']:,}\nLinear, ReLU, dropout\n\n$T_f$: {s['fused']}"
    decoder = f"{groups} steps, one per group,\nin {order} order: $p(Y)$"
    given_all, given_others = r"$p(Y\,|\,T^i, T^{\neg i})$", r"$p(Y\,|\,T^{\neg i})$"
    weights = "what spectrum $i$ adds:\nweights of molecules and\ngroups in the loss (Eq. 10)"
    for x, y, wide, high, title, body, colour in (
        (1, 33, 15, 25, "Spectra", f"{names}\n\n{n} x {s['points']} points", DATA),
        (21, 33, 21, 25, "Encoders (Eq. 2)", encoders, BOTH),
        (46, 42, 28, 22, "Cross-modal gate (Eqs. 3-5)", f"{attention}\n\ngate $p^i$: {length} each", BOTH),
        (46, 20, 28, 17, "Bottleneck (Eqs. 6, 7)", f"{mixing}\n\n$T^i$: {length} x {c} each", BOTH),
        (78, 33, 19, 18, "Fusion", fusion, BOTH),
        (101, 50, 26, 14, "LSTM decoder (Eq. 13)", decoder, BOTH),
        (101, 32, 26, 13, "Main predictor", f"Linear, {s['fused']} to {groups}:\n{given_all}", BOTH),
        (76, 6, 24, 14, "Auxiliary predictor", f"small CNN, $i$ left out:\n{given_others}, {n} x {groups}", TRAINING),
        (103, 6, 24, 16, "CMI weights (Eqs. 9-12)", weights, TRAINING),
        (46, 3, 28, 12, "Compression bound", r"$\beta\,I(T^i; X^i | X^{\neg i})$ (Eqs. 17-19)", TRAINING),
    ):
        _box(ax, x, y, wide, high, title, body, colour)
    if model.options.conditioning == "residual":
        _arrow(ax, (114, 45), (114, 50))
    for start, end, dashed in ARROWS:
        _arrow(ax, start, end, dashed)
    for y, colour, text in ((17, BOTH, "training and use"), (11, TRAINING, "training only")):
        _box(ax, 2, y, 4, 3, "", "", colour)
        ax.text(8, y + 1.5, text, va="center", fontsize=6.5)
    ax.text(2, 5, f"{s['parameters']:,} parameters", fontsize=6.5, va="center")
    return figure
