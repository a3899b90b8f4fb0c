import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import kstest

from symspectra.spectra import rendering
from symspectra.spectra.lines import add_ei, factor, line_table, read_rows
from symspectra.spectra.preprocessing import AXES, ir_vector, msms_vector
from symspectra.spectra.rendering import (
    _STREAMS,
    CLEAN,
    MEASURED,
    Canvas,
    Nuisance,
    draw_seed,
    render,
    render_axis,
    uniform,
)

ALL = ("ir", "c13", "h1", "msms_pos", "msms_neg")
ROW = torch.tensor([0])


def canvas_with(position, hwhm, window=40, points=400):
    canvas = Canvas(1, points, window, torch.device("cpu"))
    n = len(position)
    canvas.add(torch.tensor(position), torch.ones(n), torch.full((n,), hwhm), torch.zeros(n, dtype=torch.long), window)
    return canvas.spectra[0]


@pytest.mark.parametrize("hwhm", [0.3, 1.0, 3.0])
def test_area_is_that_of_the_cut_profile_wherever_the_line_falls(hwhm):
    """The Lorentzian over the window, less its value at the edge; the same within 1 % at any place between points."""
    window = 40
    inside = 2 / math.pi * math.atan((window + 0.5) / hwhm)
    cut = (2 * window + 1) / math.pi * (math.atan((window + 0.5) / hwhm) - math.atan((window - 0.5) / hwhm))
    area = [float(canvas_with([200 + shift], hwhm).sum()) for shift in (-0.5, -0.3, 0.0, 0.1, 0.49)]
    assert area == pytest.approx([inside - cut] * 5, rel=0.01)
    assert 0.85 < area[0] < 1


def test_a_profile_is_the_lorentzian_integrated_over_each_point():
    y = canvas_with([200.3], 2.0)
    x = torch.arange(400.0)
    lorentzian = sum(  # midpoint rule over each point
        2.0 / math.pi / ((x + offset - 200.3) ** 2 + 4.0) / 50 for offset in torch.linspace(-0.49, 0.49, 50)
    )
    edge = float(lorentzian[160])
    near = slice(165, 236)
    torch.testing.assert_close(y[near], lorentzian[near] - edge, atol=1e-4, rtol=1e-2)
    assert (y[:159] == 0).all() and (y >= 0).all()


def test_lines_add_up_and_those_off_the_axis_are_left_out():
    three = canvas_with([50.0, 60.2, 60.2], 1.0)
    torch.testing.assert_close(three, canvas_with([50.0], 1.0) + 2 * canvas_with([60.2], 1.0), atol=1e-6, rtol=1e-5)
    assert (canvas_with([-0.6, -30.0, 399.6, 1e6], 1.0) == 0).all()
    edge = canvas_with([0.0, 399.0], 1.0)
    assert edge[0] == edge[399] > 0.2


@pytest.mark.parametrize(("modality", "ppm"), [("c13", 128.4), ("h1", 7.26), ("c13", 0.0), ("h1", -1.0)])
def test_nmr_peak_at_its_place_on_the_axis(lines_builder, modality, ppm):
    line = {"c13": (ppm, 1, 1), "h1": (ppm, 1, "", 0.0)}[modality]
    lines = lines_builder.molecule(**{modality: [line]}).read()
    y = render_axis(lines, ROW, modality)[0]
    assert int((render_axis(lines, ROW, modality, points=20_000) > 0).sum()) <= 2 * 8 + 1  # the window of a narrow line
    step = abs(AXES[modality][1] - AXES[modality][0])
    assert abs(AXES[modality][int(y.argmax())] - ppm) <= step / 2 + 1e-4
    assert float(y.sum()) == pytest.approx(0.88, abs=0.06)


@pytest.mark.parametrize(("cm1", "kind"), [(1700.0, "C=O, acyl"), (2599.0, "S-H"), (3000.0, "C-H, sp3")])
def test_infrared_peak_at_its_scaled_place(lines_builder, cm1, kind):
    lines = lines_builder.molecule(ir=[(cm1, 30.0, kind)]).read()
    scale = factor(kind, "gfn2")
    y = render_axis(lines, ROW, "ir")[0]
    assert abs(AXES["ir"][int(y.argmax())] - scale * cm1) <= 1.01
    assert float(y.max()) == 1.0
    half = (y > 0.5).sum() * (AXES["ir"][1] - AXES["ir"][0])
    assert float(half) == pytest.approx(16, abs=2.1)  # full width at half maximum


def test_infrared_at_600_points_is_close_to_the_preprocessed_standard_axis(random_lines):
    rows = torch.arange(30)
    full, short = ir_vector(render_axis(random_lines, rows, "ir")), render(random_lines, rows, ("ir",))[:, 0]
    assert float((full - short).abs().max()) < 0.15
    filled = full.amax(dim=1) > 0
    assert float(torch.cosine_similarity(full[filled], short[filled]).min()) > 0.99


@pytest.mark.parametrize("nuisance", [CLEAN, Nuisance()])
@pytest.mark.parametrize("modality", ALL)
def test_a_spectrum_does_not_depend_on_its_batch(random_lines, modality, nuisance):
    together = render(random_lines, torch.arange(20), (modality,), nuisance, 5)
    for row in range(20):
        alone = render(random_lines, torch.tensor([row]), (modality,), nuisance, 5)
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)
    backwards = render(random_lines, torch.arange(19, -1, -1), ALL, nuisance, 5)[:, ALL.index(modality)]
    torch.testing.assert_close(backwards.flip(0), together[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("modality", ALL)
def test_draws(random_lines, modality):
    """Draw 0 is always the same, the others differ from it and from each other, and asking for them changes nothing."""

    def spectra(nuisance, draw):
        return render(random_lines, torch.arange(60), (modality,), nuisance, draw)[:, 0]

    noisy, state = Nuisance(), torch.get_rng_state()
    first = spectra(noisy, 0)
    one, two = spectra(noisy, 1), spectra(noisy, 2)
    assert torch.equal(spectra(noisy, 0), first) and torch.equal(spectra(noisy, 1), one)
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is left alone
    filled = spectra(CLEAN, 0).amax(dim=1) > 0
    assert filled.sum() > 30
    for a, b in ((first, one), (one, two), (first, spectra(CLEAN, 0))):
        changed = ((a - b).abs().amax(dim=1) > 1e-3)[filled].float().mean()
        assert changed > (0.6 if modality.startswith("msms") else 0.99)  # a single peak has unit norm in any draw
    assert torch.equal(spectra(CLEAN, 0), spectra(CLEAN, 1))
    assert first.isfinite().all() and first.max() <= 1.02 and first.min() >= -0.0101


@pytest.mark.parametrize("field", Nuisance.__dataclass_fields__)
def test_every_nuisance_changes_its_own_modalities_only(random_lines, field):
    nuisance = replace(CLEAN, **{field: getattr(MEASURED, field)})
    rows = torch.arange(60)
    clean, noisy = render(random_lines, rows, ALL), render(random_lines, rows, ALL, nuisance)
    changed = {m for i, m in enumerate(ALL) if not torch.equal(clean[:, i], noisy[:, i])}
    expected = {"c13_shift": {"c13"}, "h1_shift": {"h1"}, "coupling": {"h1"}, "baseline": {"ir", "c13", "h1"}}
    expected |= {name: {"ir"} for name in ("ir_frequency", "ir_width", "hydrogen_bond", "ir_intensity", "ch_gain")}
    expected |= {name: {"ir"} for name in ("condensed", "slope", "cut", "bands")}
    assert changed == expected.get(field, {"msms_pos", "msms_neg"})


def test_a_cut_axis_is_zero_at_its_low_end_alone(random_lines):
    y = render(random_lines, torch.arange(60), ("ir",), replace(CLEAN, cut=0.5, slope=0.3))[:, 0]
    first = (y > 0).float().argmax(dim=1)
    assert 10 < int((first > 1).sum()) < 50 and int(first.max()) <= 300
    assert all((spectrum[start:-1] > 0).all() for spectrum, start in zip(y, first, strict=True))  # the slope
    with pytest.raises(ValueError, match="absolute"):
        render(random_lines, torch.arange(3), ("ir",), MEASURED, absolute_ir=True)


def test_shift_error_has_the_size_it_says(lines_builder):
    for k in range(300):
        lines_builder.molecule(f"C{k}", c13=[(100.0, 1, 1)])
    y = render_axis(lines_builder.read(), torch.arange(300), "c13", Nuisance())
    error = torch.from_numpy(AXES["c13"])[y.argmax(dim=1)] - 100.0
    assert kstest(error.numpy(), "laplace", args=(0, 1.4)).pvalue > 1e-3


def test_exchangeable_hydrogen_stays_within_its_spread(lines_builder):
    for k in range(200):
        lines_builder.molecule(f"O{k}", h1=[(3.0, 1, "", 1.5)])
    lines = lines_builder.read()
    y = render_axis(lines, torch.arange(200), "h1", Nuisance())
    centre = torch.from_numpy(AXES["h1"])[y.argmax(dim=1)]
    width = (y > y.amax(dim=1, keepdim=True) / 2).sum(dim=1) * (12 / 9999) * 400  # Hz
    assert 3 < width.min() < 6 and 20 < width.max() < 45
    assert kstest(centre.numpy(), "uniform", args=(1.5, 3.0)).pvalue > 1e-3
    narrow = lines_builder.molecule("C", h1=[(3.0, 1, "", 0.0)]).read()
    widths = (render_axis(narrow, torch.tensor([0, 200]), "h1") > 0.01).sum(dim=1)
    assert widths[0] > 3 * widths[1]


def test_noisy_electron_ionisation_begins_where_a_scan_does_and_is_at_times_at_whole_masses(lines_builder):
    peaks = {"ei_mz": [14.0, *(m + 0.4 for m in range(56, 76))], "ei_percent": [100] * 21}
    for i in range(200):
        lines_builder.molecule(smiles=f"made-up {i}")
    add_ei(lines_builder.write(), lambda smiles: [peaks] * len(smiles))
    lines = line_table(*read_rows(lines_builder.directory, ei=True))
    rows = torch.arange(200)
    clean, noisy = (render(lines, rows, ("ei",), n)[:, 0] for n in (CLEAN, Nuisance()))
    assert torch.equal(clean[0], msms_vector(torch.tensor(peaks["ei_mz"]), torch.ones(21), torch.zeros(21).int(), 1)[0])
    assert not noisy[:, 14].any() and noisy[:, 56:76].any(dim=1).all()
    beside = noisy[:, 76] / noisy[:, 75]  # a peak at 75.4 has a wing at 76, one at 75 none
    assert 0.35 < (beside[beside.isfinite()] < 1e-3).float().mean() < 0.65


def test_a_molecule_without_lines_is_zeros(lines_builder):
    lines = lines_builder.molecule().read()
    x = render(lines, ROW, ALL)
    assert x.shape == (1, 5, 600) and (x == 0).all()
    assert render(lines, ROW[:0], ALL).shape == (0, 5, 600)
    assert render(lines, ROW, ALL, Nuisance()).isfinite().all()


def test_hashed_numbers_are_uniform_and_shared_by_no_two_purposes_or_lines():
    seed = torch.randint(-(2**31), 2**31, (500,), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
    drawn = torch.cat([draw_seed(seed[:1], draw) for draw in range(5000)])
    assert len(drawn.unique()) > 4990
    many, number = seed.repeat_interleave(40), torch.arange(40).repeat(500)
    samples = [uniform(many, number, stream) for stream in ("c13", "ir", "drop")]
    samples += [uniform(torch.arange(20_000, dtype=torch.int32), 0, "bond"), uniform(drawn, 7, "h1")]
    for u in samples:
        assert u.min() > 0 and u.max() < 1 and kstest(u.numpy(), "uniform").pvalue > 1e-3
    values = torch.cat([uniform(seed[:1].repeat(200), torch.arange(200), stream) for stream in _STREAMS])
    assert len(values.unique()) > 0.999 * len(values)


def test_streams_draws_lines_and_molecules_are_independent():
    seed = torch.randint(-(2**31), 2**31, (20_000,), dtype=torch.int32, generator=torch.Generator().manual_seed(1))
    zero = torch.zeros(len(seed), dtype=torch.long)
    base = uniform(seed, zero, "c13")
    others = {
        "stream": uniform(seed, zero, "h1"),
        "another stream": uniform(seed, zero, "labile"),
        "next line": uniform(seed, zero + 1, "c13"),
        "next draw": uniform(draw_seed(seed, 1), zero, "c13"),
        "next molecule": base.roll(1),
        "next seed": uniform(seed + 1, zero, "c13"),
    }
    for name, u in others.items():
        r = torch.corrcoef(torch.stack([base, u]))[0, 1]
        assert abs(float(r)) < 4 / math.sqrt(len(seed)), name
    a, b = uniform(draw_seed(seed, 1), zero, "c13"), uniform(draw_seed(seed, 2), zero, "c13")
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 4 / math.sqrt(len(seed))


def test_the_extreme_hashes_give_finite_numbers(monkeypatch):
    """The largest uniform must stay below one, or its normal deviate is infinite."""
    seeds = torch.tensor([0, 0x7FFFFF, -1, 2**31 - 1, -(2**31)], dtype=torch.int32)
    monkeypatch.setattr(rendering, "_hash", lambda seed, number, stream: seed)
    u = rendering.uniform(seeds, 0, "ir")
    assert (u > 0).all() and (u < 1).all()
    assert rendering._normal(seeds, 0, "ir").isfinite().all() and rendering._laplace(seeds, 0, "ir").isfinite().all()
