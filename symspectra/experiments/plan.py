"""Which runs each notebook needs, so that they can be planned and trained before it is executed.

Every function gives the configurations of one cell of an exhibit, one per seed. Cells of different exhibits that are
the same configuration are one run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from symspectra.config import Config
from symspectra.datasets.base import SHIPPED
from symspectra.datasets.prepared import find_folder
from symspectra.errors import ConfigError, suggest
from symspectra.experiments.profiles import Profile
from symspectra.files import written
from symspectra.modalities import MODALITIES

THREE = ("ir", "c13", "h1")
THREE_ROW = "IR, 13C-NMR, 1H-NMR"
TABLE_1_SIMULATED: dict[str, tuple[str, ...]] = {
    "IR": ("ir",),
    "13C-NMR": ("c13",),
    "1H-NMR": ("h1",),
    THREE_ROW: THREE,
    "IR, MS/MS+, MS/MS-": ("ir", "msms_pos", "msms_neg"),
}
MEASURED_THREE, MEASURED_ROW = ("c13", "h1", "ms"), "MS, 13C-NMR, 1H-NMR"
TABLE_1_MEASURED: dict[str, tuple[str, ...]] = {
    "MS": ("ms",),
    "13C-NMR": ("c13",),
    "1H-NMR": ("h1",),
    MEASURED_ROW: MEASURED_THREE,
}
STARTS = {"measured": False, "simulated, then measured": True}  # what a model on measured spectra is trained on
# What is also trained on NMR axes that were sampled point by point.
RESAMPLED = (("symspectra", ("c13",)), ("symspectra", THREE), ("jung_cnn", ("c13",)))
MODELS: dict[str, str] = {
    "jung_cnn": "1D-CNN",
    "token_transformer": "Transformer",
    "patch_transformer": "Wu et al.",
    "patch_embedding": "Alberts et al.",
    "symspectra": "SymSpectra",
}
BASELINES = {model: name for model, name in MODELS.items() if model != "symspectra"}
STRATEGIES = {
    "none": "",
    "focal": " + Focal Loss",
    "mlsmote": " + Oversampling",
    "class_weights": " + Class Reweighting",
}
COMPONENTS: dict[str, dict[str, Any]] = {
    "SymSpectra": {},
    "- Dynamic Weight": {"weighting": "none"},
    "- SCIB Compression": {"bottleneck": False},
    "- LSTM Decoder": {"decoder": "none", "prediction": "main"},
}
# Settings whose scores the learning curves compare with SymSpectra's.
RIVALS: dict[str, dict[str, Any]] = {f"over {name}": {"model": model} for model, name in BASELINES.items()} | {
    "by the weights": COMPONENTS["- Dynamic Weight"],
    "by the compression": COMPONENTS["- SCIB Compression"],
}
TEST_TENTHS = 2  # of the molecules, which the learning curves keep for testing
PRIORS = {"data": "of the tokens", "gaussian": "Gaussian", "laplace": "Laplace", "gamma": "Gamma"}
DECODERS = {"lstm": "LSTM", "gru": "GRU", "transformer": "Transformer"}
ORDERS = {"iupac": "IUPAC", "mutual_information": "Mutual Info", "gnn": "GNN", "alphabetical": "Alphabetical"}
AUGMENTATIONS = {
    "none": "Original",
    "shift": "Horizontal shift",
    "vertical": "Vertical noise",
    "smooth": "Gaussian smoothing",
    "mix": "Linear combination",
}


def title_of(config: Config) -> str:
    """The model's name in tables and figures; its own where it is none of the paper's."""
    return MODELS.get(config.model.name, config.model.name)


def all_seeds(profile: Profile, model: str = "symspectra", **settings: Any) -> list[Config]:
    """A model on IR, 13C and 1H unless ``modalities`` are given, once per seed of the profile; for the tables."""
    config = profile.config(model, **{"modalities": THREE, **settings})
    return [config.replace(seed=seed) for seed in profile.seeds]


def few_seeds(profile: Profile, model: str = "symspectra", **settings: Any) -> list[Config]:
    """As `all_seeds`, for the grids and studies that need many runs."""
    return _few(all_seeds(profile, model, **settings), profile)


def _few(configs: list[Config], profile: Profile) -> list[Config]:
    return [config for config in configs if config.training.seed in profile.few_seeds]


def table_1(profile: Profile, model: str, row: str = THREE_ROW) -> list[Config]:
    """Table 1, simulated half: a model on a choice of spectra."""
    return all_seeds(profile, model, modalities=TABLE_1_SIMULATED[row])


def trees(profile: Profile) -> list[Config]:
    """Table 10: XGBoost. It draws no random numbers, so that one seed is enough."""
    return all_seeds(profile, "xgboost")[:1]


def scarce(profile: Profile, model: str, share: float) -> list[Config]:
    """Fig 4: a model trained with a share of the positives of four rare groups; 1 is Table 1's own training set.

    The four are made scarce together: a molecule seldom has two of them.
    """
    groups = profile.grids.scarce_groups if share < 1 else ()
    return few_seeds(profile, model, scarce_groups=groups, scarce_share=share)


def learning(profile: Profile, molecules: int, model: str = "symspectra", **settings: Any) -> list[Config]:
    """Learning curves: a model trained on so many molecules, tested on the same ones whatever their number.

    With the root of the number, epochs fall and steps of training rise: with the epochs of many molecules, a model
    of few would not be trained to its end.
    """
    usual = profile.config(model)
    chosen = round(molecules * 10 / (9 - TEST_TENTHS))  # with those that validate and test
    epochs = round(usual.training.epochs * (usual.data.molecules / chosen) ** 0.5)
    how = {"molecules": chosen, "epochs": epochs, "least_positives": 0, "test_unseen": False}
    return all_seeds(profile, model, **how, test_tenths=TEST_TENTHS, **settings)


def intensities(profile: Profile) -> tuple[str, ...]:
    """Kinds of infrared intensity that the data have: those of line lists are known in km/mol."""
    lists = {*SHIPPED} >= {*profile.config().data.dataset.split("+")}
    return ("absolute", "relative") if lists else ()


def have_measured() -> bool:
    """Whether measured spectra are there (``symspectra data prepare experimental``)."""
    return find_folder("experimental") is not None


def measured(
    profile: Profile, model: str, row: str = MEASURED_ROW, pretrained: bool = False, **settings: Any
) -> list[Config]:
    """Table 1, experimental half, with or without pretraining on simulated spectra; XGBoost with one seed."""
    config = profile.measured_config(model, pretrained, modalities=TABLE_1_MEASURED[row], **settings)
    return [config.replace(seed=seed) for seed in (profile.seeds if model != "xgboost" else profile.seeds[:1])]


def measured_augmentation(profile: Profile, model: str, kind: str) -> list[Config]:
    """Fig 5a on measured spectra; the baselines with one seed."""
    few = _few(measured(profile, model, augment=kind), profile)
    return few if model == "symspectra" else few[:1]


def measured_size(profile: Profile, molecules: int) -> list[Config]:
    """SymSpectra on measured spectra of so many molecules; those beyond the complete ones lack some."""
    return _few(measured(profile, "symspectra", molecules=molecules), profile)


Cells = list[list[Config]]


def _three(profile: Profile, *models: str) -> Cells:
    return [table_1(profile, model) for model in models]


def _measured(profile: Profile, *rows: str) -> Cells:
    return [measured(profile, m, row, start) for row in rows for m in MODELS for start in STARTS.values()]


NOTEBOOKS: dict[str, Callable[[Profile], Cells]] = {
    "00_quickstart": lambda p: [],
    "01_dataset": lambda p: _three(p, *BASELINES),
    "02_performance": lambda p: [
        *(table_1(p, model, row) for row in TABLE_1_SIMULATED for model in MODELS),
        *(all_seeds(p, model, modalities=spectra, resample="linear") for model, spectra in RESAMPLED),
        *(all_seeds(p, modalities=m, ir_intensity=how) for m in (("ir",), THREE) for how in intensities(p)),
        all_seeds(p, weighting="none"),
        *(learning(p, n, **rival) for n in p.grids.learning_sizes for rival in ({}, *RIVALS.values())),
    ],
    "03_imbalance_strategies": lambda p: [
        *_three(p, "symspectra"),
        *(all_seeds(p, model, imbalance=how) for model in ("jung_cnn", "patch_embedding") for how in STRATEGIES),
    ],
    "04_imbalance_study": lambda p: [
        *_three(p, *MODELS),
        *(scarce(p, model, share) for model in p.grids.scarce_models for share in (*p.grids.shares, 1.0)),
    ],
    "05_scaffold_split": lambda p: [*_three(p, *MODELS), *(all_seeds(p, model, split="scaffold") for model in MODELS)],
    "06_ablations": lambda p: [
        *(all_seeds(p, **settings) for settings in COMPONENTS.values()),
        *(few_seeds(p, penalty=weight) for weight in p.grids.penalties),
        *(few_seeds(p, prior=prior) for prior in PRIORS),
        *(few_seeds(p, decoder=kind) for kind in DECODERS),
        all_seeds(p, teacher_forcing=1.0, teacher_forcing_decay=1.0),
    ],
    "07_label_order": lambda p: [
        *(few_seeds(p, order=order) for order in ORDERS),
        all_seeds(p, **COMPONENTS["- LSTM Decoder"]),
        *_three(p, *BASELINES),
    ],
    "08_hyperparameters": lambda p: [
        *_three(p, "symspectra"),  # how far two seeds of one setting lie apart
        *(few_seeds(p, s1=s1, s2=s2) for s1 in p.grids.emphasis for s2 in p.grids.emphasis),
        *(few_seeds(p, beta=beta) for beta in p.grids.betas),
        *(few_seeds(p, aggregate=how) for how in ("tokens", "channels", "mean")),
    ],
    "09_robustness": lambda p: [
        *(few_seeds(p, augment=kind) for kind in AUGMENTATIONS),
        *_three(p, *MODELS),
        *(all_seeds(p, **settings) for settings in COMPONENTS.values()),
    ],
    "10_cost": lambda p: [
        *(trees(p), *_three(p, *MODELS)),
        all_seeds(p, hidden=p.config().model.hidden // 8),
        *(few_seeds(p, modalities=MODALITIES[:n]) for n in range(1, 6)),
        *(few_seeds(p, modalities=(*(m for m in THREE if m != gone), "msms_neg")) for gone in THREE),
    ],
    "11_interpretation": lambda p: [*_three(p, "symspectra"), *(few_seeds(p, beta=beta) for beta in (1e-6, 1e-2))],
    "12_report": lambda p: [],
}
ON_MEASURED: dict[str, Callable[[Profile], Cells]] = {
    "02_performance": lambda p: [
        *_measured(p, *TABLE_1_MEASURED),
        *(measured(p, "xgboost", row) for row in TABLE_1_MEASURED),
        *(measured_size(p, molecules) for molecules in p.grids.measured_sizes),
    ],
    "09_robustness": lambda p: [
        *_measured(p, MEASURED_ROW),
        *(measured_augmentation(p, model, kind) for model in MODELS for kind in AUGMENTATIONS),
    ],
}


def project() -> Path:
    """The project's folder: of this folder and those above it, the nearest with notebooks in ``notebooks``.

    This folder itself, where there is none.
    """
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if any(folder.glob("notebooks/*.ipynb"))), here)


def copy_notebooks(folder: str | Path) -> Path:
    """Copy the notebooks of the package to ``notebooks`` in a folder, whole or not at all; return where they are.

    The folder is then a project: runs and figures of these notebooks are written beside them (`project`).

    Raises
    ------
    ConfigError : ``notebooks`` is there already, or the package was installed without its notebooks.
    """
    target, names = Path(folder) / "notebooks", {f"{name}.ipynb" for name in NOTEBOOKS}
    if target.exists():
        raise ConfigError(f"{target} is there already; expected a folder without notebooks")
    paths = [Path(__file__).parents[2] / "notebooks" / name for name in names]  # of a repository
    if not paths[0].exists():
        paths = [Path(file.locate()) for file in metadata.files("symspectra") or () if file.name in names]
    if len(paths) != len(names):
        raise ConfigError("the package was installed without its notebooks; install it again, from its wheel")
    with written(target) as temporary:
        temporary.mkdir()
        for path in paths:
            shutil.copyfile(path, temporary / path.name)
    return target


def find_notebooks(names: list[str] | None) -> list[str]:
    """Notebooks by number or name (``["02"]``), your own among them; for None, those of the paper.

    Raises
    ------
    ConfigError : for an unknown one, with the nearest right name.
    """
    if not names:
        return list(NOTEBOOKS)
    known = sorted({*NOTEBOOKS, *(path.stem for path in project().glob("notebooks/[0-9]*.ipynb"))})
    found = set()
    for name in names:
        matches = [n for n in known if name in (n, n.split("_")[0])]
        if not matches:
            raise ConfigError(f"there is no notebook {name!r}; {suggest(name, known)}")
        found |= set(matches)
    return sorted(found)


def planned_runs(profile: Profile, notebooks: list[str] | None = None) -> list[Config]:
    """Every run that the notebooks need, each once, in a stable order; one that starts from another comes after it.

    What a notebook of your own needs is not known beforehand: it trains when it is executed.
    """
    tables, cells = (NOTEBOOKS, ON_MEASURED) if have_measured() else (NOTEBOOKS,), []
    for name in find_notebooks(notebooks):
        cells += [cell for table in tables if name in table for cell in table[name](profile)]
    chains = [c for cell in cells for config in cell for c in (config.pretraining(), config) if c is not None]
    return list(dict.fromkeys(chains))
