"""A Bruker experiment of one dimension: processed data as procs describes them, or the decay as acqus does."""

from __future__ import annotations

import numpy as np

from symspectra.errors import ReadError
from symspectra.spectra.readers.fid import MAX_POINTS, MODALITIES, Fid, transform
from symspectra.spectra.readers.folders import Folder, Parameters, finite, known_nucleus, read_bytes, subfolders
from symspectra.spectra.spectrum import Spectrum

_EXPORT = "process it with the software of the spectrometer and export it as JCAMP-DX"


def is_experiment(folder: Folder) -> bool:
    """Whether a folder is an experiment or the ``pdata/N`` of one."""
    return any((folder / name).is_file() for name in ("acqus", "procs")) or bool(_pdata(folder))


def _pdata(folder: Folder) -> list[Folder]:
    return [child for child in subfolders(folder / "pdata") if child.name.isdecimal() and (child / "procs").is_file()]


# nmrglue.bruker.read_jcamp does not return from a string or a list that the end of the file cuts off.
def _parameters(file: Folder) -> Parameters:
    return Parameters(file, r"^##\$(\w+)=[ \t]*([^\r\n]*)")


def read_experiment(folder: Folder, block: int | None = None) -> Spectrum:
    """Read the processed data ``pdata/block`` (by default the first), or the decay where there are none.

    Raises
    ------
    ReadError : the experiment is not of one dimension, not 1H or 13C, incomplete or damaged.
    """
    processed = _pdata(folder)
    if (folder / "procs").is_file():  # pdata/N itself
        processed = [folder]
        folder = folder.parent.parent if folder.parent.name == "pdata" else folder
    acqus = _parameters(folder / "acqus") if (folder / "acqus").is_file() else None
    usable = [child for child in processed if (child / "1r").is_file()]
    if block is not None:
        numbers = ", ".join(child.name for child in usable) or "none"
        usable = [child for child in usable if child.name == str(block)]
        if not usable:
            raise ReadError(f"there are no processed data pdata/{block}; there are {numbers}")
    two = [name for place in (folder, *processed) for name in ("2rr", "ser", "acqu2s") if (place / name).is_file()]
    if two and not usable:
        raise ReadError(f"the experiment has more than one dimension ({two[0]} is there); expected one dimension")
    if usable:
        spectrum = _processed(usable[0], acqus)
        if len(usable) > 1 and block is None:
            others = ", ".join(child.name for child in usable[1:])
            spectrum = spectrum.then(f"pdata/{usable[0].name} taken, the first; pdata/{others} not read")
    elif acqus is not None and (folder / "fid").is_file():
        spectrum = _decay(folder, acqus, processed)
    else:
        raise ReadError("the experiment has neither processed data (pdata/1/1r) nor a free induction decay (fid)")
    return spectrum


def _meta(acqus: Parameters | None, folder: Folder | None, nucleus: str, mhz: float) -> dict[str, str | float]:
    meta = {"format": "Bruker", "nucleus": nucleus, "frequency_mhz": mhz}
    if acqus is not None:
        meta |= {"solvent": acqus.text("SOLVENT"), "pulse_program": acqus.text("PULPROG")}
    if folder is not None:
        meta |= {"block": int(folder.name)} if folder.name.isdecimal() else {}
        if (folder / "title").is_file():
            meta["title"] = " ".join(read_bytes(folder / "title").decode("utf-8", "replace").split())[:200]
    return {name: value for name, value in meta.items() if value != ""}


def _processed(folder: Folder, acqus: Parameters | None) -> Spectrum:
    procs = _parameters(folder / "procs")
    nucleus = known_nucleus((acqus.text("NUC1") if acqus else "") or procs.text("AXNUC"))
    points = int(procs.number("SI", 2, MAX_POINTS))
    kind, order = procs.number("DTYPP", 0, 2), procs.number("BYTORDP", 0, 1)
    values = _numbers(read_bytes(folder / "1r"), points, "1r", kind, order)
    if len(values) > points:
        raise ReadError(f"1r holds {len(values):,} points; expected {points:,} (SI in procs)")
    frequency = procs.number("SF", 1, 1e5)
    width = procs.number("SW_p", 1e-3, 1e9) / frequency
    x = procs.number("OFFSET", -1e4, 1e4) - np.arange(points) * width / points
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.ldexp(values, int(procs.number("NC_proc", -64, 64)))
    name = f"pdata/{folder.name}" if folder.name.isdecimal() else "1r"
    step = f"processed data {name} read, {points:,} points, ppm axis from OFFSET and SF"
    meta = _meta(acqus, folder, nucleus, frequency)
    return Spectrum(x, y, "ppm", "intensity", MODALITIES[nucleus], meta, steps=(step,))


def _numbers(data: bytes, points: int, name: str, kind: float, big_endian: float) -> np.ndarray:
    """Numbers of a Bruker file: 32-bit integers (kind 0) or 64-bit floats (kind 2)."""
    if kind not in (0, 2):
        raise ReadError(f"{name} is said to hold numbers of kind {kind:g}; expected 0 (integers) or 2 (floats)")
    dtype = np.dtype(("<", ">")[int(big_endian)] + ("i4" if kind == 0 else "f8"))
    there = len(data) // dtype.itemsize
    if there < points:
        raise ReadError(f"{name} ends after {there:,} of {points:,} numbers")
    return finite(np.frombuffer(data, dtype, there), name)


def _decay(folder: Folder, acqus: Parameters, processed: list[Folder]) -> Spectrum:
    nucleus = known_nucleus(acqus.text("NUC1"))
    if (mode := acqus.number("AQ_mod")) not in (1, 3):
        raise ReadError(f"the decay was acquired in AQ_mod {mode:g}; expected 1 (qsim) or 3 (DQD); {_EXPORT}")
    points = int(acqus.number("TD", 32, 2 * MAX_POINTS)) // 2 * 2
    kind = acqus.number("DTYPA", 0, 2)
    numbers = _numbers(read_bytes(folder / "fid"), points, "fid", kind, acqus.number("BYTORDA", 0, 1))[:points]
    base, transmitter = acqus.number("BF1", 1, 1e5), acqus.number("SFO1", 1, 1e5)
    reference, said = base, "ppm axis from BF1 and SFO1, not referenced to a standard"
    if processed:
        procs = _parameters(processed[0] / "procs")
        if "SF" in procs and abs(procs.number("SF") / base - 1) < 1e-3:
            reference, said = procs.number("SF"), f"ppm axis from SFO1 and SF of pdata/{processed[0].name}"
    centre = (transmitter - reference) / reference * 1e6
    fid = Fid(numbers[0::2] + 1j * numbers[1::2], acqus.number("SW_h"), reference, centre, _delay(acqus))
    x, y, steps = transform(fid, MODALITIES[nucleus])
    meta = _meta(acqus, processed[0] if processed else None, nucleus, reference)
    meta.pop("block", None)
    steps = (f"free induction decay read, {points // 2:,} points, {said}", *steps)
    return Spectrum(x, y, "ppm", "intensity", MODALITIES[nucleus], meta, steps=steps)


def _delay(acqus: Parameters) -> float:
    """Points by which the digital filter delays the signal: GRPDLY, in older files from a table."""
    if "GRPDLY" in acqus and (delay := acqus.number("GRPDLY")) >= 0:
        return delay
    decimation = acqus.number("DECIM") if "DECIM" in acqus else 1
    if decimation <= 1:
        return 0.0
    from nmrglue.fileio.bruker import bruker_dsp_table

    firmware = acqus.number("DSPFVS")
    if decimation not in bruker_dsp_table.get(firmware, {}):
        raise ReadError(f"the digital filter DSPFVS {firmware:g}, DECIM {decimation:g} is not known; {_EXPORT}")
    return bruker_dsp_table[firmware][decimation]
