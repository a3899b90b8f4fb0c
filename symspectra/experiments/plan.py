"""Which runs each notebook needs, so that they can be planned and trained before it is executed.

Every function gives the configurations of one cell of an exhibit, one a seed. Cells of different exhibits that are the
same configuration are one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def seeds(config: Config, profile: Profile) -> list[Config]:
    """One configuration a seed of the profile."""
    return [config.replace(seed=seed) for seed in profile.seeds]


def few_seeds(config: Config, profile: Profile) -> list[Config]:
    """One configuration a seed, for the grids and studies that need many runs."""
    return [config.replace(seed=seed) for seed in profile.few_seeds]


def table_1(profile: Profile, model: str, row: str) -> list[Config]:
    """A cell of Table 1, simulated half: a model on a choice of spectra."""
    return seeds(profile.config(model, modalities=TABLE_1_SIMULATED[row]), profile)


def have_measured() -> bool:
    """Whether measured spectra are there (``symspectra data prepare experimental``)."""
    return find_folder("experimental") is not None


def measured(profile: Profile, model: str, row: str, pretrained: bool = False) -> list[Config]:
    """A cell of Table 1, experimental half, with or without pretraining on simulated spectra."""
    return seeds(profile.measured_config(model, pretrained, modalities=TABLE_1_MEASURED[row]), profile)


def measured_trees(profile: Profile, row: str) -> list[Config]:
    """XGBoost on measured spectra, which cannot be pretrained; one seed, as in `trees`."""
    return [profile.measured_config("xgboost", modalities=TABLE_1_MEASURED[row])]


def measured_size(profile: Profile, molecules: int) -> list[Config]:
    """SymSpectra on mass, 13C and 1H spectra of so many molecules; those beyond the complete ones lack some."""
    return few_seeds(profile.measured_config(modalities=MEASURED_THREE, molecules=molecules), profile)


def measured_augmentation(profile: Profile, model: str, kind: str) -> list[Config]:
    """Fig 5a on measured spectra; the baselines with one seed."""
    config = profile.measured_config(model, modalities=MEASURED_THREE, augment=kind)
    return few_seeds(config, profile)[: None if model == "symspectra" else 1]


def resampling(profile: Profile, model: str, how: str, modalities: tuple[str, ...]) -> list[Config]:
    """NMR axes brought to 600 points by ``how``; ``blockmax`` is Table 1's own."""
    return seeds(profile.config(model, modalities=modalities, resample=how), profile)


def component(profile: Profile, name: str) -> list[Config]:
    """Table 3: SymSpectra on IR, 13C and 1H without one of its `COMPONENTS`."""
    return seeds(profile.config("symspectra", modalities=THREE, **COMPONENTS[name]), profile)


def variant(profile: Profile, **settings: Any) -> list[Config]:
    """SymSpectra on IR, 13C and 1H with some settings changed: Tables 4, 5, 6 and 9."""
    return few_seeds(profile.config("symspectra", modalities=THREE, **settings), profile)


def weighting(profile: Profile, how: str) -> list[Config]:
    """SymSpectra with the weights of section 2.2.3 (``paper``), or without (``none``)."""
    return seeds(profile.config("symspectra", modalities=THREE, weighting=how), profile)


def strategy(profile: Profile, model: str, how: str) -> list[Config]:
    """Table 2: a baseline on three spectra with a strategy against imbalance."""
    return seeds(profile.config(model, modalities=THREE, imbalance=how), profile)


def scarce(profile: Profile, model: str, share: float) -> list[Config]:
    """Fig 4: a model trained with a share of the positives of four rare groups; 1 is Table 1's own training set.

    The four are made scarce together: a molecule seldom has two of them.
    """
    groups = profile.grids.scarce_groups if share < 1 else ()
    config = profile.config(model, modalities=THREE, scarce_groups=groups, scarce_share=share)
    return few_seeds(config, profile)


def scaffold(profile: Profile, model: str) -> list[Config]:
    """Fig 3c: a model on three spectra, tested on scaffolds far from its training set."""
    return few_seeds(profile.config(model, modalities=THREE, split="scaffold"), profile)


def emphasis(profile: Profile, s1: float, s2: float) -> list[Config]:
    """Fig 11a: a point of the grid of s1 and s2."""
    return few_seeds(profile.config("symspectra", modalities=THREE, s1=s1, s2=s2), profile)


def compression(profile: Profile, beta: float) -> list[Config]:
    """Fig 11b and Fig 7: a weight of the bound."""
    return few_seeds(profile.config("symspectra", modalities=THREE, beta=beta), profile)


def augmentation(profile: Profile, kind: str) -> list[Config]:
    """Fig 5a: SymSpectra with an augmentation of the training spectra (App. I)."""
    return few_seeds(profile.config("symspectra", modalities=THREE, augment=kind), profile)


def number_of_spectra(profile: Profile, n: int) -> list[Config]:
    """Table 11: SymSpectra on the first n of IR, 13C, 1H, MS/MS+ and MS/MS-."""
    return few_seeds(profile.config("symspectra", modalities=MODALITIES[:n]), profile)


def trees(profile: Profile) -> list[Config]:
    """Table 10: XGBoost on three spectra. It draws no random numbers, so that one seed is enough."""
    return [profile.config("xgboost", modalities=THREE)]


def _flat(cells: Iterable[list[Config]]) -> list[Config]:
    return [config for cell in cells for config in cell]


def _three(profile: Profile, model: str) -> list[Config]:
    return table_1(profile, model, THREE_ROW)


def _dataset_runs(profile: Profile) -> list[Config]:
    return _flat(_three(profile, model) for model in BASELINES)


def _performance_runs(profile: Profile) -> list[Config]:
    cells = [table_1(profile, model, row) for row in TABLE_1_SIMULATED for model in MODELS]
    cells += [resampling(profile, model, "linear", spectra) for model, spectra in RESAMPLED]
    return [*_flat([*cells, weighting(profile, "none")]), *_measured_runs(profile)]


def _measured_runs(profile: Profile) -> list[Config]:
    if not have_measured():
        return []
    cells = [measured(profile, m, row, start) for row in TABLE_1_MEASURED for m in MODELS for start in STARTS.values()]
    cells += [measured_trees(profile, row) for row in TABLE_1_MEASURED]
    return _flat([*cells, *(measured_size(profile, n) for n in profile.grids.measured_sizes)])


def _strategy_runs(profile: Profile) -> list[Config]:
    cells = [strategy(profile, model, how) for model in ("jung_cnn", "patch_embedding") for how in STRATEGIES]
    return _flat([_three(profile, "symspectra"), *cells])


def _imbalance_runs(profile: Profile) -> list[Config]:
    shares = (*profile.grids.shares, 1.0)
    models = profile.grids.scarce_models
    cells = [_three(profile, model) for model in MODELS]
    return _flat([*cells, *(scarce(profile, model, share) for model in models for share in shares)])


def _scaffold_runs(profile: Profile) -> list[Config]:
    return _flat(cell for model in MODELS for cell in (scaffold(profile, model), _three(profile, model)))


def _ablation_runs(profile: Profile) -> list[Config]:
    cells = [component(profile, name) for name in COMPONENTS]
    cells += [variant(profile, penalty=weight) for weight in profile.grids.penalties]
    cells += [variant(profile, prior=prior) for prior in PRIORS]
    return _flat([*cells, *(variant(profile, decoder=kind) for kind in DECODERS)])


def _order_runs(profile: Profile) -> list[Config]:
    cells = [variant(profile, order=order) for order in ORDERS]
    others = [_three(profile, model) for model in BASELINES]
    return _flat([*cells, component(profile, "- LSTM Decoder"), *others])


def _hyperparameter_runs(profile: Profile) -> list[Config]:
    grid = profile.grids.emphasis
    cells = [emphasis(profile, s1, s2) for s1 in grid for s2 in grid]
    seeds_apart = _three(profile, "symspectra")  # how far two seeds of one setting lie apart
    return _flat([seeds_apart, *cells, *(compression(profile, beta) for beta in profile.grids.betas)])


def _robustness_runs(profile: Profile) -> list[Config]:
    cells = [augmentation(profile, kind) for kind in AUGMENTATIONS] + [_three(profile, m) for m in MODELS]
    if have_measured():
        cells += [measured(profile, m, MEASURED_ROW, start) for m in MODELS for start in STARTS.values()]
        cells += [measured_augmentation(profile, m, kind) for m in MODELS for kind in AUGMENTATIONS]
    return _flat(cells)


def _cost_runs(profile: Profile) -> list[Config]:
    counts = [number_of_spectra(profile, n) for n in range(1, 6)]
    return _flat([trees(profile), *(_three(profile, model) for model in MODELS), *counts])


def _interpretation_runs(profile: Profile) -> list[Config]:
    return _flat([_three(profile, "symspectra"), *(compression(profile, beta) for beta in (1e-6, 1e-2))])


NOTEBOOKS: dict[str, Callable[[Profile], list[Config]]] = {
    "00_quickstart": lambda profile: [],
    "01_dataset": _dataset_runs,
    "02_performance": _performance_runs,
    "03_imbalance_strategies": _strategy_runs,
    "04_imbalance_study": _imbalance_runs,
    "05_scaffold_split": _scaffold_runs,
    "06_ablations": _ablation_runs,
    "07_label_order": _order_runs,
    "08_hyperparameters": _hyperparameter_runs,
    "09_robustness": _robustness_runs,
    "10_cost": _cost_runs,
    "11_interpretation": _interpretation_runs,
    "12_report": lambda profile: [],
}


def find_notebooks(names: list[str] | None) -> list[str]:
    """Notebooks by number or name (``["02"]``); all of them for None.

    Raises
    ------
    ConfigError : for an unknown one, with the nearest right name.
    """
    if not names:
        return list(NOTEBOOKS)
    found = []
    for name in names:
        matches = [n for n in NOTEBOOKS if n == name or n.split("_")[0] == name]
        if not matches:
            raise ConfigError(f"there is no notebook {name!r}; {suggest(name, NOTEBOOKS)}")
        found += matches
    return sorted(set(found))


def planned_runs(profile: Profile, notebooks: list[str] | None = None) -> list[Config]:
    """Every run that the notebooks need, each once, in a stable order; one that starts from another comes after it."""
    configs = [config for name in find_notebooks(notebooks) for config in NOTEBOOKS[name](profile)]
    chains = [c for config in configs for c in (config.pretraining(), config) if c is not None]
    return list(dict.fromkeys(chains))
