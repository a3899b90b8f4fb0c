"""Shared by all tests: shape checks, small line lists and data sets, the directory of development files."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import hypothesis
import jaxtyping
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# The shapes in the annotations are checked by every call in the test run, and only there. Not in datasets and
# training: beartype cannot check a value against the protocol SpectraDataset.
CHECKED = (
    "models.bottleneck models.weighting models.decoder models.base models.symspectra models.baselines "
    "models.transformers models.layers spectra.preprocessing spectra.rendering training.metrics "
    "groups.graphs exhibits.chemical_space"
)
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # an int may stand for a float
jaxtyping.install_import_hook([f"symspectra.{name}" for name in CHECKED.split()], CHECKER)

from symspectra.config import Config  # noqa: E402
from symspectra.datasets.base import ArrayDataset  # noqa: E402
from symspectra.files import write_manifest  # noqa: E402
from symspectra.groups.table8 import to_bits  # noqa: E402
from symspectra.spectra.lines import LIST_GROUPS, LineTable, append_shard, read_lines  # noqa: E402


class LinesBuilder:
    """Line lists of made-up molecules, written and read as the real ones are.

    >>> LinesBuilder(folder).molecule("CCO", c13=[(58.0, 1, 2)]).molecule("C").read()
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self.rows: list[dict] = []

    def molecule(self, smiles="C", inchikey=None, groups=(), level="gfn2", **lines) -> LinesBuilder:
        """Add a molecule. Lines are tuples in the order of `symspectra.spectra.lines.LIST_GROUPS`."""
        y = np.zeros((1, 37), dtype=bool)
        y[0, list(groups)] = True
        key = inchikey or f"KEY{len(self.rows):011d}"
        row = {"smiles": smiles, "inchikey": key, "groups": int(to_bits(y)[0]), "level": level}
        for kind, names in LIST_GROUPS.items():
            row |= {name: [line[k] for line in lines.get(kind, ())] for k, name in enumerate(names)}
        self.rows.append(row)
        return self

    def random(self, n: int, seed: int = 0) -> LinesBuilder:
        """Add n molecules with a random number of random lines, some of them with none."""
        rng = np.random.default_rng(seed)
        patterns = ["", "7.0*1", "7.0*3", "7.0*2 1.5*1"]
        kinds = ["O-H", "C-H, sp3", "C=O, amide", "900 to 1300"]

        def lines(low, high, most, *columns):
            position = np.round(rng.uniform(low, high, rng.integers(0, most)), 1)
            return [(float(p), *(column() for column in columns)) for p in position]

        for _ in range(n):
            spread = lambda: float(rng.choice([0.0, 0.0, 1.5]))  # noqa: E731
            self.molecule(
                smiles=f"made-up {seed} {len(self.rows)}",
                groups=np.flatnonzero(rng.random(37) < 0.2),
                ir=lines(450, 3900, 12, lambda: float(rng.integers(1, 90)), lambda: str(rng.choice(kinds))),
                c13=lines(0, 200, 8, lambda: int(rng.integers(1, 4)), lambda: int(rng.integers(0, 4))),
                h1=lines(0, 9, 6, lambda: int(rng.integers(1, 4)), lambda: str(rng.choice(patterns)), spread),
                msms_pos=lines(30, 500, 10, lambda: int(rng.integers(1, 101))),
                msms_neg=lines(30, 500, 10, lambda: int(rng.integers(1, 101))),
            )
        return self

    def write(self) -> Path:
        """Append what was added as one shard."""
        append_shard(self.directory, self.rows)
        self.rows = []
        return self.directory

    def read(self) -> LineTable:
        """Write, and read everything."""
        return read_lines(self.write())


@pytest.fixture
def lines_builder(tmp_path) -> LinesBuilder:
    return LinesBuilder(tmp_path / "lines")


@pytest.fixture(scope="session")
def random_lines(tmp_path_factory) -> LineTable:
    """60 made-up molecules."""
    return LinesBuilder(tmp_path_factory.mktemp("random_lines")).random(60).read()


#: Sizes that train in milliseconds, by model; for SymSpectra 12 tokens of 16 channels.
SMALL = {
    "symspectra": {"stem": 4, "channels": 16, "pools": (10, 5), "heads": 1, "hidden": 32, "decoder_hidden": 16},
    "jung_cnn": {"dense": (16, 16, 16), "filters": (5, 6)},
    "token_transformer": {"width": 32, "layers": 2, "feedforward": 64, "attention_heads": 2, "points": 40},
    "patch_transformer": {"width": 32, "layers": 2, "feedforward": 64, "attention_heads": 2, "inner": 16},
    "patch_embedding": {"width": 32, "layers": 2, "feedforward": 64, "attention_heads": 2},
}


def tiny(model: str = "symspectra", **settings) -> Config:
    """A small model with a short training."""
    small = {**SMALL.get(model, {}), "batch": 16, "epochs": 3, "lr": 2e-3, "modalities": ("ir", "c13")}
    return Config(model, **{**small, **settings})


def marker_dataset(n: int = 48, modalities: tuple[str, ...] = ("ir", "c13"), seed: int = 0, missing: float = 0.0):
    """Spectra in which group k shows as a peak at points 16 k to 16 k + 3, in one of the modalities each."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(n, 37, generator=generator) < 0.3
    m = len(modalities)
    x = 0.05 * torch.rand(n, m, 600, generator=generator)
    for k in range(37):
        x[:, k % m, 16 * k : 16 * k + 4] += y[:, k : k + 1].float()
    present = torch.rand(n, m, generator=generator) >= missing
    present[:, 0] |= ~present.any(dim=1)
    split = ["test" if i % 6 == 0 else "validation" if i % 6 == 1 else "train" for i in range(n)]
    return ArrayDataset(x, present, y, [f"molecule {i}" for i in range(n)], split, modalities)


@pytest.fixture(scope="session")
def data():
    """48 molecules; tests leave it as it is."""
    return marker_dataset()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Data of which some spectra are missing, and two seeds of a small model, trained on them."""
    from symspectra.training.runs import run

    data, store = marker_dataset(90, missing=0.2), tmp_path_factory.mktemp("store")
    return data, [run(tiny(seed=seed, weight_ramp=1), store, "cpu", data) for seed in (0, 1)]


def overlap(texts) -> bool:
    """Do two of the texts of a figure lie over each other?"""
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    return any(one.overlaps(other) for one, other in combinations(boxes, 2))


def write_prepared(folder: Path, data, kind: str = "measured") -> Path:
    """A data set as a folder of ``symspectra data prepare``; the ids serve as SMILES and as InChIKey blocks."""
    folder.mkdir(parents=True)
    np.save(folder / "vectors.npy", data.x.numpy().astype(np.float16))
    np.save(folder / "present.npy", data.present.numpy())
    columns = {"inchikey": list(data.ids), "smiles": list(data.ids), "groups": to_bits(data.y.numpy())}
    pq.write_table(pa.table(columns), folder / "molecules.parquet")
    write_manifest(folder, {"kind": kind, "modalities": list(data.modalities)})
    return folder


def damage(path: Path, kind: str) -> None:
    """Damage a file: ``missing``, ``empty``, ``truncated``, or one byte ``flipped`` at the start, middle or end."""
    content = bytearray(path.read_bytes())
    path.unlink()
    if kind == "missing":
        return
    place = {"flipped first": 0, "flipped middle": len(content) // 2, "flipped last": len(content) - 1}
    if kind in place:
        content[place[kind]] ^= 1
    else:
        del content[{"empty": 0, "truncated": len(content) // 2, "a byte short": len(content) - 1}[kind] :]
    path.write_bytes(content)


DAMAGES = ("flipped first", "flipped middle", "flipped last", "truncated", "a byte short", "empty", "missing")


#: Files that take long, longest first: the short ones fill the cores to the end (``make test``).
LONG = ("test_notebooks", "test_reproduce", "test_runs", "test_training", "test_verdicts", "test_predictor")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(autouse=True)
def no_data_of_the_user(monkeypatch):
    """Prepared data sets that lie in ``data`` change what is planned; tests make their own."""
    monkeypatch.setenv("SYMSPECTRA_DATA", os.devnull)


@pytest.fixture(scope="session")
def dev_file():
    """Gives the path of a development file; a test that needs it is skipped where it is not."""

    def path(*parts: str) -> Path:
        found = Path(os.environ.get("SYMSPECTRA_DEV_DATA", os.devnull), *parts)
        if not found.exists():
            pytest.skip(f"{'/'.join(parts)} is not among the development files (SYMSPECTRA_DEV_DATA)")
        return found

    return path
