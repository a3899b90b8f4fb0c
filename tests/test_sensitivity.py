"""The sweep of beta: numbers of the epoch that was kept, every point drawn, nothing cut."""

from types import SimpleNamespace

import pytest
from test_figures import assert_no_text_is_cut

from symspectra.config import Config
from symspectra.exhibits.comparison import summarise
from symspectra.exhibits.sensitivity import Compression, compression_chart, compression_of


def made_up(beta=1e-2, f1=0.7, **changes):
    history = [
        {"loss": 2.0, "gate": 0.5, "bound": 3.0},
        {"loss": 1.0, "gate": 0.8, "bound": 5.0},
        {"loss": 0.5, "gate": 0.9, "bound": 6.0},
    ]
    metrics = {"best_epoch": 1, "test": {"micro_f1": f1}}
    return SimpleNamespace(id="made-up", config=Config(beta=beta), history=history, metrics=metrics, **changes)


def test_numbers_are_of_the_epoch_that_was_kept():
    found = compression_of([made_up(f1=0.7), made_up(f1=0.8)])
    assert found.gate[:3] == (0.8, 0.0, (0.8, 0.8))
    assert found.share.values == pytest.approx((0.05, 0.05))
    assert found.micro_f1.mean == pytest.approx(0.75)


def test_without_a_bottleneck_there_is_nothing_to_sweep():
    run = made_up()
    run.history = [{"loss": 1.0, "gate": 1.0}] * 2
    with pytest.raises(ValueError, match="made-up .symspectra. has no bottleneck"):
        compression_of([run])


@pytest.mark.parametrize("seeds", [1, 3])
def test_chart_draws_every_point(seeds):
    points = {
        10.0**k: Compression(*(summarise([value] * seeds) for value in (0.7, 1 / (1 - k), 10.0**k / 4)))
        for k in range(-8, -1)
    }
    figure = compression_chart(points, ring=1e-6)
    assert_no_text_is_cut(figure)
    for ax, name in zip(figure.axes, Compression._fields, strict=True):
        assert ax.lines[0].get_xdata().tolist() == sorted(points)
        assert ax.lines[0].get_ydata().tolist() == [getattr(points[beta], name).mean for beta in sorted(points)]
    assert [label.get_text() for ax in figure.axes for label in [ax.yaxis.label]] == [
        "micro-F1",
        "mean gate",
        "share of the loss",
    ]


def test_zero_cannot_be_drawn():
    with pytest.raises(ValueError, match="beta = 0 cannot be drawn on a logarithmic axis"):
        compression_chart({0.0: Compression(*[summarise([0.5])] * 3)})
