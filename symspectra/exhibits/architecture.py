"""Figure 2: the model as a diagram, with the shapes of a live model."""

from __future__ import annotations

import re

from matplotlib.figure import Figure

from symspectra.exhibits.style import PAGE, styled
from symspectra.modalities import KINDS
from symspectra.models.symspectra import SymSpectra

# Of a box, where an arrow leaves and where it enters: to the right, down, up.
SIDES = {">": ((1, 0.5), (0, 0.5)), "|": ((0.5, 0), (0.5, 1)), "^": ((0.5, 1), (0.5, 0))}
ARROWS = (
    "spectra>encoders encoders>gate encoders>bottleneck gate|bottleneck bottleneck>fusion fusion>decoder fusion>main"
)
DASHED = "bottleneck>auxiliary bottleneck|bound auxiliary>weights main|weights"  # in training only
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


@styled
def architecture(model: SymSpectra) -> Figure:
    """Fig 2: spectra, encoders, gates, bottleneck, three predictors; what is only there in training is orange."""
    s = shapes(model)
    order = {"iupac": "IUPAC"}.get(model.options.order, model.options.order)
    n, length, c, groups = s["modalities"], s["tokens"], s["channels"], s["groups"]
    figure = Figure(figsize=(PAGE * 1.1, 3.9))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 128), ylim=(0, 68))
    ax.axis("off")
    names = "\n".join(KINDS[m].figure_label for m in model.modalities)
    pools = model.encoder.block1.pool, model.encoder.block2.pool
    first, second = (f"Conv {s['kernel']}, {size}" for size in (f"1 to {s['stem']}", f"{s['stem']} to {c}"))
    kernels = f"{first}, pool {pools[0]}\n{second}, pool {pools[1]}"
    heads = f"{s['heads']} head{'s' if s['heads'] > 1 else ''}"
    attention = f"attention, {heads}:\n{n * length} tokens to {n * length} tokens\nMLP, sigmoid"
    mixing = "training: $T = \\lambda H + (1-\\lambda)\\,\\epsilon$\nuse: $T = p H + (1-p)\\,\\mu$"
    decoder = f"Eq. 13: {groups} steps, one per\ngroup, in {order} order: $p(Y)$"
    given_all, given_others = r"$p(Y\,|\,T^i, T^{\neg i})$", r"$p(Y\,|\,T^{\neg i})$"
    encoders = f"Eq. 2, one per modality:\n{kernels}\n\n$O^i = H$: {length} x {c} each"
    fusion = f"flatten: {s['fused_inputs']:,}\nLinear, ReLU, dropout\n$T_f$: {s['fused']}"
    auxiliary = f"small CNN, $i$ left out:\n{given_others}, {n} x {groups}"
    weights = "Eqs. 9-12: what spectrum $i$\nadds, as weights of molecules\nand groups in the loss"
    boxes = {
        "spectra": (8, 45, DATA, "Spectra", f"{names}\n\n{n} x {s['points']} points"),
        "encoders": (31, 45, BOTH, "Encoders", encoders),
        "gate": (60, 54, BOTH, "Cross-modal gate", f"Eqs. 3-5: {attention}\ngate $p^i$: {length} each"),
        "bottleneck": (60, 29, BOTH, "Bottleneck", f"Eqs. 6, 7\n{mixing}\n$T^i$: {length} x {c} each"),
        "fusion": (87, 43, BOTH, "Fusion", fusion),
        "decoder": (114, 57, BOTH, "LSTM decoder", decoder),
        "main": (114, 38, BOTH, "Main predictor", f"Linear, {s['fused']} to {groups}:\n{given_all}"),
        "auxiliary": (87, 13, TRAINING, "Auxiliary predictor", auxiliary),
        "weights": (115, 13, TRAINING, "CMI weights", weights),
        "bound": (60, 8, TRAINING, "Compression bound", r"Eqs. 17-19: $\beta\,I(T^i; X^i | X^{\neg i})$"),
        "both": (8, 18, BOTH, "training and use", ""),
        "training": (8, 11, TRAINING, "training only", ""),
    }
    place = {}
    for name, (x, y, colour, title, body) in boxes.items():
        box = {"boxstyle": "round,pad=0.7", "facecolor": colour, "edgecolor": "0.35", "linewidth": 0.7}
        words = {"ha": "center", "va": "center", "linespacing": 1.4, "fontsize": 6.2}
        place[name] = ax.text(x, y, f"\n{body}" if body else title, bbox=box, **words)
        if body:
            ax.annotate(title, (0.5, 1), xycoords=place[name], ha="center", va="top", fontsize=6.6, fontweight="bold")
    arrows = ARROWS + " main^decoder" * (model.options.conditioning == "residual")
    look = {"arrowstyle": "-|>", "linewidth": 0.8, "color": "0.25", "shrinkA": 4, "shrinkB": 4, "mutation_scale": 7}
    for arrow in f"{arrows} {DASHED}".split():
        start, way, end = re.split(r"([>|^])", arrow)
        style = look | {"linestyle": "--" if arrow in DASHED else "-"}
        (leaves, enters), ends = SIDES[way], {"xycoords": place[end], "textcoords": place[start]}
        ax.annotate("", enters, leaves, arrowprops=style, **ends)
    ax.text(2, 4, f"{s['parameters']:,} parameters", fontsize=6.5, va="center")
    return figure
