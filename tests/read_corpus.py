"""How many files of a folder are read, and why others are refused: ``python tests/read_corpus.py FOLDER``.

For folders of sample files such as those of the packages named in the README. Not a test by itself.
"""

import sys
import time
from collections import Counter
from pathlib import Path

from symspectra.errors import ReadError
from symspectra.spectra.conversion import prepare
from symspectra.spectra.readers import read

JCAMP = (".dx", ".jdx", ".jcm", ".jcamp")
MASS = (".mgf", ".msp", ".mzml")


def kind_of(path: Path) -> str | None:
    """Which format a path claims to be; None for what is none of them."""
    ending = path.suffix.lower()
    if path.is_dir():
        return "Bruker folder" if (path / "acqus").exists() else None
    if ending in JCAMP:
        return "JCAMP-DX"
    if ending in MASS:
        return {".mgf": "MGF", ".msp": "MSP", ".mzml": "mzML"}[ending]
    return {".jdf": "JEOL", ".zip": "Bruker or other .zip"}.get(ending)


def main(folder: Path) -> None:
    """Print the table."""
    read_files, refused, spectra, converted, reasons = Counter(), Counter(), Counter(), Counter(), Counter()
    start, slowest = time.perf_counter(), (0.0, "")
    for path in sorted(folder.rglob("*")):
        kind = kind_of(path)
        if kind is None:
            continue
        begin = time.perf_counter()
        try:
            found = read(path)
        except ReadError as error:
            refused[kind] += 1
            reasons[kind, str(error).removeprefix(f"{path}: ")[:110]] += 1
            continue
        finally:
            slowest = max(slowest, (time.perf_counter() - begin, str(path)))
        read_files[kind] += 1
        for spectrum in found:
            spectra[kind, spectrum.modality] += 1
            try:
                prepare(spectrum, spectrum.modality or "msms_pos")
                converted[kind, "for the model"] += 1
            except ReadError as error:
                converted[kind, str(error).removeprefix(path.name + ": ")[:70]] += 1
    for kind in sorted(read_files | refused):
        print(f"{kind}: {read_files[kind]} read, {refused[kind]} refused")
        for (name, modality), n in sorted(spectra.items(), key=str):
            if name == kind:
                print(f"    {n} spectra, {modality or 'kind not stated'}")
        for (name, words), n in converted.most_common():
            if name == kind:
                print(f"    {n} converted: {words}")
        for (name, reason), n in reasons.most_common():
            if name == kind:
                print(f"    {n} refused: {reason}")
    print(f"{time.perf_counter() - start:.1f} s; the slowest {slowest[0]:.2f} s, {Path(slowest[1]).name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
