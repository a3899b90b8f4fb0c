"""MassBank: records of mass spectra as text files, one per spectrum (MassBank-data, ``RECORD_TITLE`` ... ``//``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rdkit import Chem

from symspectra.datasets.measured.records import (
    Measurement,
    Peaks,
    Reject,
    Rejected,
    Spectra,
    checked_peaks,
    members,
    read_all,
    structure_of,
)
from symspectra.parallel import Workers

_FIELD = re.compile(r"([A-Z]{2}\$[A-Z_/]+|[A-Z_]+):\s*(.*)")
_WITH_SUBTAGS = ("AC$MASS_SPECTROMETRY", "MS$FOCUSED_ION")
_ABSENT = ("", "N/A", "NA", "-")
_DERIVATIVE = re.compile(r"(?<![A-Za-z])(TMS|TBDMS|MEOX)(?![A-Za-z])")
_POLARITY = {"POSITIVE": ("msms_pos", "+"), "NEGATIVE": ("msms_neg", "-")}


def read_massbank(
    path: str | Path, workers: Workers | None = None, show: bool = False
) -> Iterator[Measurement | Rejected]:
    """Electron ionisation (``ms``) and MS/MS spectra, one row per record; or why not, by accession where there is one.

    Left out are MS1 of other ionisations, MS3 and higher, negative electron ionisation; spectra of derivatives
    (trimethylsilyl and others, for gas chromatography) where the record has the structure from before; isotopically
    labelled compounds.
    ``path`` is a folder or .zip of record files (.txt). `DataError`: wrong path, damaged, or no record in it.
    """
    path = Path(path)
    nothing = "no MassBank record in it; expected a folder or .zip of .txt files that begin with ACCESSION"
    files = members(path, (".txt",), show)
    return read_all(path, files, _spectra, workers, ("not a record of this format",), nothing)


def _spectra(file: tuple[str, str]) -> Spectra:
    *whole, rest = re.split(r"(?m)^//[ \t]*\r?$", file[1])
    for text in [*whole, rest] if rest.strip() else whole:
        fields, peaks = _fields(text)
        if "ACCESSION" not in fields:
            yield file[0], "not a record of this format"
        else:
            yield fields["ACCESSION"], "record truncated" if text is rest else partial(_measurement, fields, peaks)


def _fields(text: str) -> tuple[dict[str, str], list[str]]:
    """Fields by name, subtags joined to it by a blank, the first of each; and the lines of the peaks."""
    head, _, peaks = text.partition("PK$PEAK:")
    fields: dict[str, str] = {}
    for match in filter(None, map(_FIELD.match, head.splitlines())):
        name, value = match[1], match[2].strip()
        if name in _WITH_SUBTAGS:
            subtag, _, value = value.partition(" ")
            name, value = f"{name} {subtag}", value.strip()
        if value not in _ABSENT:
            fields.setdefault(name, value)
    return fields, [line for line in peaks.splitlines()[1:] if line.strip()]


def _measurement(fields: dict[str, str], lines: list[str]) -> Measurement:
    if "DEPRECATED" in fields:
        raise Reject("record deprecated")
    adduct = fields.get("MS$FOCUSED_ION PRECURSOR_TYPE") or fields.get("MS$FOCUSED_ION ION_TYPE")
    modality = _modality(fields, adduct)
    if "LICENSE" not in fields:
        raise Reject("licence not stated")
    x, y = _peaks(fields, lines, modality)
    inchikey, smiles = _structure(fields)
    if _is_derivative(fields) and "Si" not in smiles:
        raise Reject("spectrum of a derivative")
    return Measurement(
        inchikey,
        smiles,
        modality,
        x,
        y,
        licence=fields["LICENSE"],
        adduct=adduct,
        collision_energy=fields.get("AC$MASS_SPECTROMETRY COLLISION_ENERGY"),
    )


def _modality(fields: dict[str, str], adduct: str | None) -> str:
    instrument = fields.get("AC$INSTRUMENT_TYPE", "").upper()
    kind = fields.get("AC$MASS_SPECTROMETRY MS_TYPE", "").upper()
    mode = fields.get("AC$MASS_SPECTROMETRY ION_MODE", "").upper()
    if not instrument or not kind or mode not in _POLARITY:
        raise Reject("kind of spectrum not stated")
    modality, sign = _POLARITY[mode]
    stated = re.search(r"\]\d*([+-])", adduct or "")
    if stated and stated[1] != sign:
        raise Reject("polarity contradictory")
    electron_ionisation = "EI" in re.split(r"[^A-Z]+", instrument)
    if electron_ionisation and kind == "MS" and mode == "POSITIVE":
        return "ms"
    if electron_ionisation or kind != "MS2":
        raise Reject("kind of mass spectrum not used")
    return modality


def _peaks(fields: dict[str, str], lines: list[str], modality: str) -> Peaks:
    """m/z and intensity: the first two of three columns."""
    if not lines:
        raise Reject("no peaks")
    if fields.get("PK$NUM_PEAK") != str(len(lines)):
        raise Reject("number of peaks disagrees")
    pairs = [line.split()[:2] for line in lines]
    if any(len(pair) < 2 for pair in pairs):
        raise Reject("peak not readable")
    return checked_peaks([pair[0] for pair in pairs], [pair[1] for pair in pairs], modality)


def _is_derivative(fields: dict[str, str]) -> bool:
    """Whether the record says so, in a field or in its title (``Alanine; GC-EI-TOF; MS; 2 TMS``)."""
    kind, title = fields.get("MS$FOCUSED_ION DERIVATIVE_TYPE", ""), fields.get("RECORD_TITLE", "")
    if re.search(r"\b0 TMS", kind + " " + title):
        return False
    return bool(kind or _DERIVATIVE.search(title))


def _structure(fields: dict[str, str]) -> tuple[str, str]:
    if re.search(r"\[\d", fields.get("CH$SMILES", "")):
        raise Reject("isotopically labelled")
    if "CH$SMILES" in fields:
        return structure_of(fields["CH$SMILES"])
    if "CH$IUPAC" in fields:
        return structure_of(fields["CH$IUPAC"], Chem.MolFromInchi)
    raise Reject("structure not given")
