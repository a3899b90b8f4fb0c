"""Damaged inputs for readers: a valid file with bytes lost, doubled, exchanged, or replaced by what readers trip over.

``SYMSPECTRA_FUZZ=10000 pytest -k damaged`` tries as many inputs a reader; by default a few dozen.
"""

import os
import time
from random import Random

import pytest

from symspectra.errors import ReadError

EXAMPLES = int(os.environ.get("SYMSPECTRA_FUZZ", "60"))
SLOW = 2.0  # seconds of the processor, so that other work on the machine does not count
TOKENS = b"nan inf -inf 1e999 -1 0 1e-320 999999999999 2147483648 ? 1.2.3 --5 ##END= ##XYDATA= $$".split()
TOKENS += b"##NPOINTS=1000000000 (X++(Y..Y)) </ , ; % - + @ \xff\xfe \xef\xbb\xbf \xc2\xb5 \xe2\x88\x92".split()
TOKENS += [b"", b"\0", b"\r", b"\n", b"\r\n\r\n", b"\t", b"END IONS", b"BEGIN IONS", b"Num Peaks: 99999999"]
TOKENS += [b"<!DOCTYPE x>", b"<!ENTITY a 'b'>", b"A" * 5000]


def mutated(seed: bytes, rng: Random) -> bytes:
    """``seed`` after one to six changes."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 6)):
        at, length = rng.randint(0, len(data)), rng.randint(1, 40)
        match rng.randrange(7):
            case 0 if data:
                data[min(at, len(data) - 1)] = rng.randrange(256)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = rng.choice(TOKENS)
            case 3:
                data[at : at + length] = rng.choice(TOKENS)
            case 4:
                data[at:at] = data[at : at + 20 * length]
            case 5:
                del data[at:]
            case _:
                other = rng.randint(0, len(data))
                here, there = slice(at, at + length), slice(other, other + length)
                data[here], data[there] = data[there], data[here]
    return bytes(data)


def survives_damage(read, seeds: list[bytes], refused: type[Exception] = ReadError) -> int:
    """Read `EXAMPLES` damaged inputs: nothing but ``refused`` may come out, and nothing may take long.

    Returns how many were read nevertheless, so that a test can ask that some were.
    """
    rng, fine = Random(20240611), 0
    for number in range(EXAMPLES):
        data = mutated(seeds[number % len(seeds)], rng)
        start = time.process_time()
        try:
            read(data)
            fine += 1
        except refused as error:
            assert str(error) and "\n" not in str(error), data
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error} from input {number}: {data[:2000]!r}")
        seconds = time.process_time() - start
        assert seconds < SLOW, f"{seconds:.1f} s for input {number}: {data[:2000]!r}"
    return fine
