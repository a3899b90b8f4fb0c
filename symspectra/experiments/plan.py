"""Which runs each notebook needs, so that they can be planned and trained before it is executed.

Every function gives the configurations of one cell of an exhibit, one per seed. Cells of different exhibits that are
the same configuration are one run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from symspectra.config import Config
from symspectra.datasets.prepared import find_folder
from symspectra.errors import ConfigError, suggest
from symspectra.experiments.profiles import Profile
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


def seeded(profile: Profile, model: str = "symspectra", few: bool = False, **settings: Any) -> list[Config]:
    """A model on IR, 13C and 1H unless ``modalities`` are given: one configuration per seed of the profile.

    Parameters
    ----------
    few : the seeds of the grids and studies that need many runs
    settings : override those of the profile
    """
    config = profile.config(model, **{"modalities": THREE, **settings})
    return [config.replace(seed=seed) for seed in (profile.few_seeds if few else profile.seeds)]


def table_1(profile: Profile, model: str, row: str) -> list[Config]:
    """Table 1, simulated half: a model on a choice of spectra."""
    return seeded(profile, model, modalities=TABLE_1_SIMULATED[row])


def have_measured() -> bool:
    """Whether measured spectra are there (``symspectra data prepare experimental``)."""
    return find_folder("experimental") is not None


def measured(profile: Profile, model: str, row: str, pretrained: bool = False) -> list[Config]:
    """Table 1, experimental half, with or without pretraining on simulated spectra."""
    config = profile.measured_config(model, pretrained, modalities=TABLE_1_MEASURED[row])
    return [config.replace(seed=seed) for seed in profile.seeds]


def measured_trees(profile: Profile, row: str) -> list[Config]:
    """XGBoost on measured spectra, which cannot be pretrained; one seed, as in `trees`."""
    return [profile.measured_config("xgboost", modalities=TABLE_1_MEASURED[row])]


def measured_size(profile: Profile, molecules: int) -> list[Config]:
    """SymSpectra on mass, 13C and 1H spectra of so many molecules; those beyond the complete ones lack some."""
    config = profile.measured_config(modalities=MEASURED_THREE, molecules=molecules)
    return [config.replace(seed=seed) for seed in profile.few_seeds]


def measured_augmentation(profile: Profile, model: str, kind: str) -> list[Config]:
    """Fig 5a on measured spectra; the baselines with one seed."""
    config = profile.measured_config(model, modalities=MEASURED_THREE, augment=kind)
    seeds = profile.few_seeds if model == "symspectra" else profile.few_seeds[:1]
    return [config.replace(seed=seed) for seed in seeds]


def resampling(profile: Profile, model: str, how: str, modalities: tuple[str, ...]) -> list[Config]:
    """NMR axes brought to 600 points by ``how``; ``blockmax`` is Table 1's own."""
    return seeded(profile, model, modalities=modalities, resample=how)


def component(profile: Profile, name: str) -> list[Config]:
    """Table 3: SymSpectra without one of its `COMPONENTS`."""
    return seeded(profile, **COMPONENTS[name])


def variant(profile: Profile, **settings: Any) -> list[Config]:
    """SymSpectra with some settings changed: Tables 4, 5, 6 and 9."""
    return seeded(profile, few=True, **settings)


def weighting(profile: Profile, how: str) -> list[Config]:
    """SymSpectra with the weights of section 2.2.3 (``paper``), or without (``none``)."""
    return seeded(profile, weighting=how)


def strategy(profile: Profile, model: str, how: str) -> list[Config]:
    """Table 2: a baseline with a strategy against imbalance."""
    return seeded(profile, model, imbalance=how)


def scarce(profile: Profile, model: str, share: float) -> list[Config]:
    """Fig 4: a model trained with a share of the positives of four rare groups; 1 is Table 1's own training set.

    The four are made scarce together: a molecule seldom has two of them.
    """
    groups = profile.grids.scarce_groups if share < 1 else ()
    return seeded(profile, model, few=True, scarce_groups=groups, scarce_share=share)


def scaffold(profile: Profile, model: str) -> list[Config]:
    """Fig 3c: a model tested on scaffolds far from its training set."""
    return seeded(profile, model, few=True, split="scaffold")


def emphasis(profile: Profile, s1: float, s2: float) -> list[Config]:
    """Fig 11a: a point of the grid of s1 and s2."""
    return variant(profile, s1=s1, s2=s2)


def compression(profile: Profile, beta: float) -> list[Config]:
    """Fig 11b and Fig 7: a weight of the bound."""
    return variant(profile, beta=beta)


def augmentation(profile: Profile, kind: str) -> list[Config]:
    """Fig 5a: SymSpectra with an augmentation of the training spectra (App. I)."""
    return variant(profile, augment=kind)


def number_of_spectra(profile: Profile, n: int) -> list[Config]:
    """Table 11: SymSpectra on the first n of IR, 13C, 1H, MS/MS+ and MS/MS-."""
    return variant(profile, modalities=MODALITIES[:n])


def trees(profile: Profile) -> list[Config]:
    """Table 10: XGBoost. It draws no random numbers, so that one seed is enough."""
    return [profile.config("xgboost", modalities=THREE)]


def _three(profile: Profile, *models: str) -> list[list[Config]]:
    return [table_1(profile, model, THREE_ROW) for model in models]


def _measured(profile: Profile, *rows: str) -> list[list[Config]]:
    return [measured(profile, m, row, start) for row in rows for m in MODELS for start in STARTS.values()]


# The cells of each notebook; those on measured spectra apart.
NOTEBOOKS: dict[str, Callable[[Profile], list[list[Config]]]] = {
    "00_quickstart": lambda p: [],
    "01_dataset": lambda p: _three(p, *BASELINES),
    "02_performance": lambda p: [
        *(table_1(p, model, row) for row in TABLE_1_SIMULATED for model in MODELS),
        *(resampling(p, model, "linear", spectra) for model, spectra in RESAMPLED),
        weighting(p, "none"),
    ],
    "03_imbalance_strategies": lambda p: [
        *_three(p, "symspectra"),
        *(strategy(p, model, how) for model in ("jung_cnn", "patch_embedding") for how in STRATEGIES),
    ],
    "04_imbalance_study": lambda p: [
        *_three(p, *MODELS),
        *(scarce(p, model, share) for model in p.grids.scarce_models for share in (*p.grids.shares, 1.0)),
    ],
    "05_scaffold_split": lambda p: [*(scaffold(p, model) for model in MODELS), *_three(p, *MODELS)],
    "06_ablations": lambda p: [
        *(component(p, name) for name in COMPONENTS),
        *(variant(p, penalty=weight) for weight in p.grids.penalties),
        *(variant(p, prior=prior) for prior in PRIORS),
        *(variant(p, decoder=kind) for kind in DECODERS),
    ],
    "07_label_order": lambda p: [
        *(variant(p, order=order) for order in ORDERS),
        component(p, "- LSTM Decoder"),
        *_three(p, *BASELINES),
    ],
    "08_hyperparameters": lambda p: [
        *_three(p, "symspectra"),  # how far two seeds of one setting lie apart
        *(emphasis(p, s1, s2) for s1 in p.grids.emphasis for s2 in p.grids.emphasis),
        *(compression(p, beta) for beta in p.grids.betas),
    ],
    "09_robustness": lambda p: [*(augmentation(p, kind) for kind in AUGMENTATIONS), *_three(p, *MODELS)],
    "10_cost": lambda p: [trees(p), *_three(p, *MODELS), *(number_of_spectra(p, n) for n in range(1, 6))],
    "11_interpretation": lambda p: [*_three(p, "symspectra"), *(compression(p, beta) for beta in (1e-6, 1e-2))],
    "12_report": lambda p: [],
}
ON_MEASURED: dict[str, Callable[[Profile], list[list[Config]]]] = {
    "02_performance": lambda p: [
        *_measured(p, *TABLE_1_MEASURED),
        *(measured_trees(p, row) for row in TABLE_1_MEASURED),
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
    tables = (NOTEBOOKS, ON_MEASURED) if have_measured() else (NOTEBOOKS,)
    cells = [
        c for name in find_notebooks(notebooks) for table in tables if name in table for c in table[name](profile)
    ]
    chains = [c for cell in cells for config in cell for c in (config.pretraining(), config) if c is not None]
    return list(dict.fromkeys(chains))
