"""Line lists to spectra: line shapes and nuisance noise, vectorised over molecules, on CPU or GPU.

Every random number is a hash of the molecule, the draw and the line (no generator, no state): a spectrum does not
depend on the batch it is rendered in, and is the same on every device up to rounding. Draw 0 is the noise that
validation and test always see; training takes another draw every epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symspectra.modalities import KINDS
from symspectra.spectra.lines import LineTable
from symspectra.spectra.preprocessing import AXES, POINTS, msms_vector, nmr_vector

C13_HWHM = 0.0125  # ppm
H1_HWHM = 0.00125  # ppm: 0.5 Hz at 400 MHz
H1_MHZ = 400.0
IR_HWHM = 8.0  # cm-1
IR_STRONGEST = 85.0  # km/mol within a point of 600: the median, over the open set, of a spectrum's maximum
EI_START = (15.0, 55.0)  # m/z at which noisy spectra of electron ionisation begin, as measured ones do
WINDOW = {"ir": (40, 250), "c13": (8,), "h1": (8, 90)}  # points drawn on either side of narrow and broad lines


@dataclass(frozen=True)
class Nuisance:
    """Size of the noise that stands between a computed line list and a measured spectrum.

    Parameters
    ----------
    c13_shift, h1_shift : Laplace scale of the shift error, ppm
    coupling : relative spread of couplings within a multiplet
    ir_frequency : relative standard deviation of each mode's wavenumber
    ir_width : standard deviation of the logarithm of a molecule's line width
    hydrogen_bond : largest red shift of O-H and N-H stretches, cm-1; they broaden and gain strength with it
    peak_dropout, peak_intensity : share of MS/MS peaks of 1 % that vanish, and log-spread of intensities
    baseline : half-range of the noise on IR and NMR points, relative to the strongest
    ir_intensity : standard deviation of the logarithm of each infrared band's strength
    ch_gain : the same of all C-H stretches of a molecule together
    condensed : share of infrared spectra of a condensed phase (0: not told apart): only there are hydrogen bonds, bands
        are half as broad again, and strong ones are saturated
    slope : largest rise of the infrared baseline from one end to the other, relative to the strongest band
    cut : largest share of the infrared axis, from its low end, that was not measured; half of the spectra have all
    bands : share of infrared spectra of which only a list of their bands is known, as papers print it
    """

    c13_shift: float = 1.4
    h1_shift: float = 0.2
    coupling: float = 0.08
    ir_frequency: float = 0.02
    ir_width: float = 0.25
    hydrogen_bond: float = 300.0
    peak_dropout: float = 0.3
    peak_intensity: float = 0.3
    baseline: float = 0.01
    ir_intensity: float = 0.0
    ch_gain: float = 0.0
    condensed: float = 0.0
    slope: float = 0.0
    cut: float = 0.0
    bands: float = 0.0


CLEAN = Nuisance(*(0 for _ in fields(Nuisance)))
MEASURED = Nuisance(ir_frequency=0.012, ir_intensity=0.7, ch_gain=0.5, condensed=0.5, slope=0.3, cut=0.08, bands=0.3)
NUISANCES = {False: CLEAN, True: Nuisance(), "measured": MEASURED}

# Streams of random numbers: one per purpose, so that they are independent.
_STREAMS = ("c13", "h1", "coupling", "labile", "labile_width", "ir", "ir_width", "bond", "drop", "strength", "baseline")
_STREAMS += ("intensity", "ch_gain", "condensed", "saturation", "slope", "tilt", "cut")
_STREAMS += ("bands", "weakest", "forgotten", "band", "grades", "start", "unit")
_STREAM = {name: 0x3C6EF372 * (i + 1) for i, name in enumerate(_STREAMS)}


def _int32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def _mix(h: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Finaliser of MurmurHash3 on int32 (multiplication wraps around)."""
    h = (h ^ ((h >> 16) & 0xFFFF)) * _int32(0x85EBCA6B)
    h = (h ^ ((h >> 13) & 0x7FFFF)) * _int32(0xC2B2AE35)
    return h ^ ((h >> 16) & 0xFFFF)


def _hash(seed: Int[Tensor, "*shape"], number: Tensor | int, stream: str) -> Int[Tensor, "*broadcast"]:
    if isinstance(number, Tensor):
        number = number.to(torch.int32) * _int32(0x9E3779B9)
    return _mix(_mix(seed + _int32(_STREAM[stream])) + number)


def uniform(seed: Int[Tensor, "*shape"], number: Tensor | int, stream: str) -> Float[Tensor, "*shape"]:
    """Uniform on (0, 1), a function of the seed, the line's number and the purpose.

    23 bits and a half: with one bit more, the largest value would round to 1, and its logarithms to infinity.
    """
    return ((_hash(seed, number, stream) & 0x7FFFFF).float() + 0.5) / 2**23


def _laplace(seed: Tensor, number: Tensor | int, stream: str) -> Tensor:
    u = uniform(seed, number, stream) - 0.5
    return -torch.sign(u) * torch.log1p(-2 * u.abs())


def _normal(seed: Tensor, number: Tensor | int, stream: str) -> Tensor:
    return math.sqrt(2) * torch.erfinv(2 * uniform(seed, number, stream) - 1)


def draw_seed(seed: Int[Tensor, " molecule"], draw: int) -> Int[Tensor, " molecule"]:
    """Seed of one draw of the nuisance noise of each molecule; draw 0 leaves the seed as it is."""
    return seed if draw == 0 else _mix(seed ^ _int32(draw * 0x9E3779B9))


class Canvas:
    """Spectra under construction: ``batch`` rows of ``points`` points, with margins that catch the lines' wings."""

    def __init__(self, batch: int, points: int, margin: int, device: torch.device):
        self.points, self.margin = points, margin
        self._y = torch.zeros(batch, points + 2 * margin, device=device)

    @property
    def spectra(self) -> Float[Tensor, "batch points"]:
        """The spectra without the margins."""
        return self._y[:, self.margin : self.margin + self.points]

    def add(self, position: Tensor, area: Tensor, hwhm: Tensor, row: Int[Tensor, " line"], window: int) -> None:
        """Add Lorentzian lines: what falls into each point of the axis, so that no area is lost between points.

        What lies outside the window is lost: about a tenth of the area of most lines, up to a quarter of broad ones.

        Parameters
        ----------
        position, area, hwhm : of each line; the centre and the half width at half maximum in points of the axis. A
            centre off the axis is left out.
        row : spectrum of each line
        window : points drawn on either side, at most the margin; the profile is cut there, continuously
        """
        inside = (position > -0.5) & (position < self.points - 0.5)
        area = torch.where(inside, area, 0.0)
        position = position.clamp(0, self.points - 1)
        centre = position.round()
        edges = torch.arange(-window - 0.5, window + 1, device=position.device)
        cumulated = torch.atan(((centre - position).unsqueeze(1) + edges) / hwhm.unsqueeze(1))
        profile = (cumulated[:, 1:] - cumulated[:, :-1]) / math.pi
        profile = (profile - torch.maximum(profile[:, :1], profile[:, -1:])).clamp_min_(0) * area.unsqueeze(1)
        first = row * self._y.shape[1] + centre.long() + (self.margin - window)
        target = first.unsqueeze(1) + torch.arange(2 * window + 1, device=position.device)
        self._y.view(-1).index_add_(0, target.view(-1), profile.view(-1))


def render_axis(
    lines: LineTable,
    rows: Int[Tensor, " batch"],
    modality: str,
    nuisance: Nuisance = CLEAN,
    draw: int = 0,
    points: int | None = None,
    absolute_ir: bool = False,
) -> Float[Tensor, "batch points"]:
    """Spectra on the modality's standard axis (``ir``, ``c13``, ``h1``; `symspectra.spectra.preprocessing.AXES`).

    Infrared spectra have a maximum of 1, or are in units of `IR_STRONGEST` (``absolute_ir``); NMR spectra are in area
    units. Without baseline noise, which is added to the 600 points. ``points`` samples the same range with another
    number of points than the standard axis.
    """
    columns, row, number = lines.spectra[modality].select(rows)
    seed = draw_seed(lines.seed[rows], draw)
    canvas = Canvas(len(seed), points or len(AXES[modality]), max(WINDOW[modality]), seed.device)
    start, stop = KINDS[modality].axis
    scale = (canvas.points - 1) / (stop - start)
    position, area, hwhm, broad = _DRAW[modality](columns, row, number, seed, nuisance, abs(scale))
    position = (position - start) * scale
    windows = WINDOW[modality]
    if modality == "ir":  # in points of the standard axis: they shrink with it
        windows = [-(-window * canvas.points // len(AXES["ir"])) for window in windows]
    for chosen, window in zip((slice(None),) if broad is None else (~broad, broad), windows, strict=True):
        canvas.add(position[chosen], area[chosen], hwhm[chosen], row[chosen], window)
    if modality != "ir":
        return canvas.spectra
    if absolute_ir:
        return canvas.spectra * (canvas.points / (IR_STRONGEST * POINTS))
    top = canvas.spectra.amax(dim=1, keepdim=True)
    return canvas.spectra / torch.where(top > 0, top, 1.0)


# Position of each line in units of the axis, area, half width at half maximum in points, and which lines are broad.
Columns = dict[str, Tensor]
Lines = tuple[Tensor, Tensor, Tensor, Tensor | None]


def _ir_lines(columns: Columns, row: Tensor, number: Tensor, seed: Tensor, n: Nuisance, scale: float) -> Lines:
    """Bands as Lorentzians of one width."""
    cm1, area, polar = columns["cm1"], columns["km_mol"], columns["polar"]
    hwhm = torch.full_like(cm1, IR_HWHM)
    if n.ir_frequency:
        cm1 = cm1 * (1 + n.ir_frequency * _normal(seed[row], number, "ir"))
    if n.ir_width:
        hwhm = hwhm * torch.exp(n.ir_width * _normal(seed, 0, "ir_width"))[row]
    if n.ir_intensity:
        area = area * torch.exp(n.ir_intensity * _normal(seed[row], number, "intensity"))
    if n.ch_gain:
        area = area * torch.where(columns["ch"], torch.exp(n.ch_gain * _normal(seed, 0, "ch_gain"))[row], 1.0)
    if n.condensed:
        hwhm = hwhm * (1 + 0.5 * _condensed(seed, n))[row]
    if n.hydrogen_bond:
        bond = (uniform(seed, 0, "bond") * (_condensed(seed, n) if n.condensed else 1.0))[row] * polar
        cm1 = cm1 - n.hydrogen_bond * bond
        hwhm, area = hwhm + 100 * bond, area * (1 + 2 * bond)
    return cm1, area, hwhm * scale, polar


def _condensed(seed: Tensor, n: Nuisance) -> Float[Tensor, " molecule"]:
    """1 for the spectra of a condensed phase, else 0."""
    return (uniform(seed, 0, "condensed") < n.condensed).float()


def _instrument(y: Float[Tensor, "batch points"], seed: Tensor, n: Nuisance) -> Float[Tensor, "batch points"]:
    """Infrared spectra with a maximum of 1 as a spectrometer gives them: saturated, on a slope, cut at the low end."""
    if n.condensed:
        strength = 3 * uniform(seed, 0, "saturation") * _condensed(seed, n)
        strength = strength.clamp_min(1e-3).unsqueeze(1)
        y = torch.expm1(-strength * y) / torch.expm1(-strength)
    if n.slope:
        rising = (uniform(seed, 0, "tilt") < 0.5).unsqueeze(1)
        ramp = torch.linspace(0, 1, y.shape[1], device=y.device)
        y = y + n.slope * uniform(seed, 0, "slope").unsqueeze(1) * torch.where(rising, ramp, 1 - ramp)
    if n.cut:
        first = y.shape[1] * n.cut * (2 * uniform(seed, 0, "cut") - 1)
        y = y * (torch.arange(y.shape[1], device=y.device) >= first.unsqueeze(1))
    top = y.amax(dim=1, keepdim=True)
    return y / torch.where(top > 0, top, 1.0)


def draw_bands(height: Float[Tensor, "batch 600"]) -> Float[Tensor, "batch 600"]:
    """Infrared bands at points of the axis, as Lorentzians of one width, the highest point 1."""
    reach = WINDOW["ir"][0]
    point = torch.arange(-reach, reach + 1, device=height.device) * (3600 / (POINTS - 1) / IR_HWHM)
    y = torch.nn.functional.conv1d(height.unsqueeze(1), (1 / (1 + point**2))[None, None], padding=reach).squeeze(1)
    top = y.amax(dim=1, keepdim=True)
    return y / torch.where(top > 0, top, 1.0)


def _recorded(y: Float[Tensor, "batch points"], seed: Tensor, n: Nuisance) -> Float[Tensor, "batch points"]:
    """Infrared spectra as a spectrometer gives them, and some as the list of bands that an author gives."""
    curve = _baseline(_instrument(y, seed, n), seed, n, "ir")
    if not n.bands:
        return curve
    return torch.where((uniform(seed, 0, "bands") < n.bands).unsqueeze(1), _listed(y, seed), curve)


def _listed(y: Float[Tensor, "batch points"], seed: Tensor) -> Float[Tensor, "batch points"]:
    """Spectra with a maximum of 1 reduced to the bands that an author would list.

    Left out are bands below 3 to 30 % of the strongest, and up to half of the others. Their strengths are kept, told in
    five grades, or not told.
    """
    weakest = (0.03 + 0.27 * uniform(seed, 0, "weakest")).unsqueeze(1)
    beside = torch.nn.functional.pad(y, (1, 1), value=2.0)  # no band at the ends
    peak = (y > beside[:, :-2]) & (y >= beside[:, 2:]) & (y > weakest)
    number = torch.arange(y.shape[1], device=y.device, dtype=torch.int32)
    kept = uniform(seed.unsqueeze(1).expand(-1, y.shape[1]), number, "band") > 0.5 * uniform(
        seed, 0, "forgotten"
    ).unsqueeze(1)
    peak &= kept | (y >= 1)
    grades = uniform(seed, 0, "grades").unsqueeze(1)
    height = torch.where(grades < 0.3, y, torch.where(grades < 0.6, (5 * y).ceil() / 5, 1.0))
    return draw_bands(height * peak)


def _c13_lines(columns: Columns, row: Tensor, number: Tensor, seed: Tensor, n: Nuisance, scale: float) -> Lines:
    """Proton-decoupled: one line per environment."""
    ppm = columns["ppm"]
    if n.c13_shift:
        ppm = ppm + n.c13_shift * _laplace(seed[row], number, "c13")
    return ppm, columns["area"], torch.full_like(ppm, C13_HWHM * scale), None


def _h1_lines(columns: Columns, row: Tensor, number: Tensor, seed: Tensor, n: Nuisance, scale: float) -> Lines:
    """First-order multiplets at 400 MHz; exchangeable H broad (4 to 38 Hz wide), at a shift drawn from its range."""
    line_seed, group, labile = seed[row], columns["group"], columns["spread"] > 0
    ppm, hz = columns["ppm"], columns["hz"]
    hwhm = torch.where(labile, 12 * H1_HWHM, H1_HWHM) * scale
    if n.h1_shift:
        drawn = columns["spread"] * (2 * uniform(line_seed, group, "labile") - 1)
        ppm = ppm + torch.where(labile, drawn, n.h1_shift * _laplace(line_seed, group, "h1"))
        hwhm = torch.where(labile, hwhm * torch.exp(2.3 * (uniform(line_seed, group, "labile_width") - 0.5)), hwhm)
    if n.coupling:
        hz = hz * (1 + n.coupling * _normal(line_seed, group, "coupling"))
    return ppm + hz / H1_MHZ, columns["area"], hwhm, labile


_DRAW = {"ir": _ir_lines, "c13": _c13_lines, "h1": _h1_lines}
MASS = ("msms_pos", "msms_neg", "ei")


def _msms(lines: LineTable, rows: Tensor, modality: str, n: Nuisance, seed: Tensor) -> Tensor:
    """Peaks with the noise on them. Noisy spectra of electron ionisation begin where a scan did, and half of them are
    at whole masses, as many instruments give them."""
    columns, row, number = lines.spectra[modality].select(rows)
    number = number + 4096 * MASS.index(modality)
    mz, intensity = columns["mz"], columns["intensity"]
    if modality == "ei" and n != CLEAN:
        low, high = EI_START
        intensity = intensity * (mz >= (low + (high - low) * uniform(seed, 0, "start"))[row])
        mz = torch.where((uniform(seed, 0, "unit") < 0.5)[row], mz.round(), mz)
    if n.peak_dropout:
        lost = n.peak_dropout / intensity.clamp_min(1).sqrt()  # a peak of 1 % is lost most often
        intensity = intensity * (uniform(seed[row], number, "drop") > lost)
    if n.peak_intensity:
        intensity = intensity * torch.exp(n.peak_intensity * _normal(seed[row], number, "strength"))
    return msms_vector(mz, intensity, row, len(rows))


def _baseline(y: Tensor, seed: Tensor, n: Nuisance, modality: str) -> Tensor:
    """Noise on the points, triangular on (-1, 1), from the two halves of one hash."""
    number = torch.arange(POINTS, device=y.device, dtype=torch.int32) + POINTS * ("ir", "c13", "h1").index(modality)
    h = _hash(seed.unsqueeze(1), number, "baseline")
    return y + (n.baseline / 32768) * ((h & 0x7FFF) - ((h >> 16) & 0x7FFF)).float()


def render(
    lines: LineTable,
    rows: Int[Tensor, " batch"],
    modalities: Sequence[str],
    nuisance: Nuisance = CLEAN,
    draw: int = 0,
    resampling: str = "blockmax",
    absolute_ir: bool = False,
) -> Float[Tensor, "batch modality 600"]:
    """Preprocessed spectra of some molecules, as the models read them (App. F).

    Parameters
    ----------
    rows : positions in ``lines``
    nuisance : `Nuisance()` or `CLEAN`
    draw : which draw of the noise; 0 is the fixed one
    resampling : ``blockmax``, ``blockmean`` or ``linear``, for the NMR axes
    absolute_ir : infrared spectra in units of `IR_STRONGEST`, not of their own maximum; their noise is the same
    """
    seed = draw_seed(lines.seed[rows], draw)
    spectra = []
    for modality in modalities:
        if modality in MASS:
            spectra.append(_msms(lines, rows, modality, nuisance, seed))
            continue
        if modality == "ir":  # mean over each of 600 points, where App. F.2 takes one value in three
            y = render_axis(lines, rows, modality, nuisance, draw, POINTS, absolute_ir)
            if nuisance.condensed or nuisance.slope or nuisance.cut or nuisance.bands:
                if absolute_ir:
                    raise ValueError("absolute infrared intensities: what a spectrometer does to a spectrum hides them")
                spectra.append(_recorded(y, seed, nuisance))
                continue
        else:
            y = nmr_vector(render_axis(lines, rows, modality, nuisance, draw), resampling)
        if nuisance.baseline:
            y = _baseline(y, seed, nuisance, modality)
            y = y if modality == "ir" else y.clamp(0, 1)
        spectra.append(y)
    return torch.stack(spectra, dim=1)
