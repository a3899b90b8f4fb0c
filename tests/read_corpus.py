"""How many files of a folder are read, and why others are refused: ``python tests/read_corpus.py FOLDER``.

For folders of sample files such as those of the packages named in the README. Not a test by itself.
"""

import sys
from collections import Counter
from pathlib import Path

from symspectra.errors import ReadError
from symspectra.spectra.conversion import prepare
from symspectra.spectra.readers import FORMATS, read

EXTENSIONS = {ending.lower() for row in FORMATS for ending in row[1].split()} - {".csv", ".tsv", ".txt", ".xy", "or"}


def main(folder: Path) -> None:
    """Print the table."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in sorted(folder.rglob("*")):
        bruker = path.is_dir() and (path / "acqus").exists()
        if not bruker and path.suffix.lower() not in EXTENSIONS:
            continue
        kind = "Bruker folder" if bruker else path.suffix.lower()
        try:
            found = read(path)
        except ReadError as error:
            counts[kind, f"refused: {str(error).removeprefix(f'{path}: ')[:110]}"] += 1
            continue
        counts[kind, "files read"] += 1
        for spectrum in found:
            counts[kind, f"spectra, {spectrum.modality or 'kind not stated'}"] += 1
            try:
                prepare(spectrum, spectrum.modality or "msms_pos")
            except ReadError as error:
                counts[kind, f"not converted: {str(error).removeprefix(f'{path.name}: ')[:70]}"] += 1
    for (kind, words), n in sorted(counts.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"{kind}: {n} {words}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
