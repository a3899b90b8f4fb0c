"""The spectra of a file, each read only when it is wanted: which of them are, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from symspectra.errors import ReadError
from symspectra.spectra.spectrum import Spectrum

_LISTED = 8  # numbers and reasons in a message


class Entry(NamedTuple):
    """One spectrum of a file."""

    block: int  #: the number that picks it
    read: Callable[[], Spectrum]  #: raises `ReadError`
    aside: str = ""  #: why it is left out where there are others, unless it is picked


def chosen(entries: Sequence[Entry], block: int | None = None) -> list[Spectrum]:
    """The spectra of a file, or the one at ``block``. The steps of each say what was left out, and why.

    Raises
    ------
    ReadError : there is no such block, or none that is wanted can be read.
    """
    wanted = [entry for entry in entries if block in (None, entry.block)]
    if not wanted:
        blocks = [entry.block for entry in entries]
        raise ReadError(f"has no spectrum {block}; there are {_numbers(blocks)}" if entries else "holds no spectrum")
    aside = block is None and not all(entry.aside for entry in wanted)
    reasons: dict[str, list[int]] = {}
    spectra = []
    for entry in wanted:
        try:
            if aside and entry.aside:
                raise ReadError(entry.aside)
            spectra.append(entry.read())
            spectra[-1].meta["block"] = entry.block
        except ReadError as error:
            reasons.setdefault(str(error), []).append(entry.block)
    if not spectra:
        said = {entry.aside for entry in wanted if aside}
        reason, blocks = next(item for item in reasons.items() if item[0] not in said)
        raise ReadError(reason if len(wanted) == 1 else f"spectrum {blocks[0]} of {len(wanted)}: {reason}")
    steps = [f"left out spectrum {_numbers(blocks)}: {reason}" for reason, blocks in reasons.items()]
    more = [f"left out others for {len(steps) - _LISTED} more reasons"] * (len(steps) > _LISTED)
    return [replace(spectrum, steps=(*spectrum.steps, *steps[:_LISTED], *more)) for spectrum in spectra]


def _numbers(blocks: Sequence[int]) -> str:
    listed = ", ".join(map(str, blocks[:_LISTED]))
    return listed if len(blocks) <= _LISTED else f"{listed}, .. ({len(blocks)} of them)"
