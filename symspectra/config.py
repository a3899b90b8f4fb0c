"""Everything that determines a training run, in one frozen dataclass."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from symspectra.errors import ConfigError, suggest
from symspectra.modalities import SPECTRA

CHOICES: dict[str, tuple[str, ...]] = {
    "model": ("symspectra", "jung_cnn", "token_transformer", "patch_transformer", "patch_embedding", "xgboost"),
    "modalities": SPECTRA,
    "resample": ("blockmax", "blockmean", "linear"),
    "split": ("molecule", "scaffold"),
    "imbalance": ("none", "mlsmote", "class_weights", "focal"),
    "augment": ("none", "shift", "vertical", "smooth", "mix"),
    "prior": ("data", "gaussian", "laplace", "gamma"),
    "eval_gate": ("expected", "clean"),
    "cross_term": ("printed", "negated", "none"),
    "cmi_reduce": ("max", "mean", "sum"),
    "weighting": ("paper", "sample", "label_ema", "none"),
    "decoder": ("lstm", "gru", "transformer", "none"),
    "order": ("iupac", "alphabetical", "mutual_information", "gnn"),
    "conditioning": ("residual", "input", "h0"),
    "prediction": ("decoder", "main", "ensemble"),
    "schedule": ("cosine", "steps", "noam", "onecycle"),
    "precision": ("float32", "bf16"),
}


RANGES: dict[str, tuple[float, float]] = {
    "molecules": (0, 1e9),
    "lr": (1e-9, 10),
    "temperature": (1e-3, 100),
    "sigma_floor": (1e-6, 100),
    "dropout": (0, 0.99),
    "decoder_dropout": (0, 0.99),
    "teacher_forcing": (0, 1),
    "teacher_forcing_decay": (0, 1),
    "beta": (0, 1e6),
    "penalty": (0, 1e6),
    "scarce_share": (1e-6, 1),
    "withhold": (0, 0.99),
    "test_tenths": (1, 5),
    "pretrain_epochs": (0, 1e6),
    "pretrain_molecules": (0, 1e9),
    "beta2": (0, 1),
    "clip": (0, 1e6),
    "s1": (0, 100),
    "s2": (0, 100),
    "weight_ramp": (0, 1e6),
    "bins": (2, 65_536),
    "seed": (0, 2**31 - 1),
}


POSITIVE = (
    *("stem", "channels", "kernel", "heads", "hidden", "decoder_hidden", "width", "layers", "attention_heads"),
    *("feedforward", "inner", "patch", "points", "trees", "epochs", "batch", "warmup"),
)


@dataclass(frozen=True)
class Config:
    """One training run. Sizes and rates default to the paper's (App. B), the rest to what the README lists under
    "Where this differs from the paper"; `Config.for_model` gives a baseline its own.

    Every option that an experiment changes is a field, so that equal fields mean the same run.

    Data
        dataset : name of a data set (`symspectra.datasets.base.load_dataset`)
        molecules : use the first so many of its molecules, 0 for all; they are in random order
        modalities : which spectra the model sees
        resample : how NMR axes become 600 points (App. F.1): ``blockmax`` keeps narrow lines, ``linear`` is Eq. 32
        nuisance : instrument and simulation noise when line lists are rendered; redrawn for training every epoch
        split : ``molecule``, by a hash of the InChIKey, or ``scaffold``: test scaffolds far from training (App. K)
        test_tenths : tenths of the molecules that the split by molecule keeps for testing
        scarce_groups, scarce_share : Table 8 numbers, and the share of their training positives that is kept (Fig 4)
        imbalance : strategy of Table 2: ``mlsmote`` oversamples, the others change a baseline's loss
        augment : augmentation of the training spectra (`symspectra.datasets.augmentation`, App. I)
        withhold : share of the training spectra withheld, others at every epoch, so that a model learns to do without
    Model
        stem, channels, kernel, pools : the two convolution blocks (Eq. 2); 600 / pools[0] / pools[1] tokens
        heads : of the cross-modal attention (Eq. 4); ``channels / heads`` should be 16 or more
        hidden, dropout : width of the fused representation T_f, and its dropout
        temperature, sigma_floor : of the relaxed gates (Eq. 7), and least noise of Eq. 6
        eval_gate : evaluation with ``p H + (1 - p) mu`` (``expected``) or with the tokens as they are (``clean``)
        bottleneck : gates and noise (Eqs. 3 to 8); without, ``T = H`` and no bound (ablation of Table 3)
        beta, cross_term, prior : weight of the bound (Eqs. 18, 19), sign of Eq. 19, and noise (`symspectra.models.bottleneck`)
        penalty : weight of the term I(Y; T^not i) that the paper leaves out (Table 5)
        weighting, s1, s2, weight_ramp, cmi_reduce : weights by conditional mutual information (`symspectra.models.weighting`)
        decoder, order, conditioning, decoder_hidden, decoder_dropout : the label decoder (`symspectra.models.decoder`)
        teacher_forcing, teacher_forcing_decay : probability of the true label, and its factor an epoch
        prediction : which head answers: ``decoder``, ``main``, or their mean (``ensemble``)
        filters, dense : widths of the 1D-CNN's convolutions and dense layers
        trees, bins : boosting rounds of XGBoost, each one tree a group, and into how many steps it cuts each point
        width, layers, attention_heads, feedforward, inner, patch, points : of the Transformers; ``inner`` is the width
            within a patch, ``patch`` its points, ``points`` the tokens of a spectrum (`symspectra.models.transformers`)
    Training
        epochs, batch, lr, beta2, clip : Adam; ``clip`` is the largest norm of the gradient, 0 for none
        schedule, warmup : `symspectra.training.schedules.learning_rate`; ``warmup`` counts steps and is of ``noam``
        seed : of the weights, the order of the samples, dropout, gates and noise
        precision, compile : bf16 autocast and `torch.compile`, both for CUDA
        pretrain_epochs, pretrain_molecules : epochs on the simulated spectra of ``open`` before those on the data set,
            0 for none, and how many of its molecules (`Config.pretraining`)
    """

    dataset: str = "open"
    molecules: int = 0
    modalities: tuple[str, ...] = ("ir", "c13", "h1")
    resample: str = "blockmax"
    nuisance: bool = True
    split: str = "molecule"
    scarce_groups: tuple[int, ...] = ()
    scarce_share: float = 1.0
    imbalance: str = "none"
    augment: str = "none"
    withhold: float = 0.0
    test_tenths: int = 1

    model: str = "symspectra"
    stem: int = 32
    channels: int = 64
    kernel: int = 11
    pools: tuple[int, int] = (2, 2)
    heads: int = 4
    hidden: int = 256
    dropout: float = 0.3
    temperature: float = 1.0
    sigma_floor: float = 0.1
    eval_gate: str = "expected"
    bottleneck: bool = True
    beta: float = 1e-6
    cross_term: str = "printed"
    prior: str = "data"
    penalty: float = 0.0
    weighting: str = "paper"
    s1: float = 0.3
    s2: float = 0.3
    weight_ramp: int = 4
    cmi_reduce: str = "max"
    decoder: str = "lstm"
    order: str = "iupac"
    conditioning: str = "residual"
    decoder_hidden: int = 128
    decoder_dropout: float = 0.1
    teacher_forcing: float = 0.5
    teacher_forcing_decay: float = 0.95
    prediction: str = "decoder"
    filters: tuple[int, int] = (31, 62)
    dense: tuple[int, int, int] = (4927, 2785, 1574)
    trees: int = 100
    bins: int = 256
    width: int = 512
    layers: int = 4
    attention_heads: int = 8
    feedforward: int = 2048
    inner: int = 512
    patch: int = 20
    points: int = 400

    epochs: int = 100
    batch: int = 128
    lr: float = 3e-4
    schedule: str = "cosine"
    warmup: int = 1000
    beta2: float = 0.999
    clip: float = 0.0
    seed: int = 0
    precision: str = "float32"
    compile: bool = False
    pretrain_epochs: int = 0
    pretrain_molecules: int = 0

    def __post_init__(self):
        for name, hint in _hints().items():
            _check_type(name, getattr(self, name), hint)
            if hint is float:  # 1 and 1.0 are one setting, and one run
                object.__setattr__(self, name, float(getattr(self, name)))
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            for item in value if isinstance(value, tuple) else (value,):
                if item not in allowed:
                    raise ConfigError(f"{name} is {item!r}; {suggest(item, allowed)}")
        if not self.modalities or list(self.modalities) != sorted(set(self.modalities), key=SPECTRA.index):
            raise ConfigError(f"modalities are {self.modalities}; expected some of {SPECTRA}, in that order, each once")
        for name in POSITIVE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected {low:g} to {high:g}")
        for name in ("filters", "dense"):
            if min(getattr(self, name)) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected widths of at least 1")
        self._check_combinations()
        if min(self.pools) < 1 or 600 // self.pools[0] // self.pools[1] < 2:
            raise ConfigError(f"pools is {self.pools}; expected two factors that leave at least 2 of 600 points")

    def _check_combinations(self) -> None:
        """What is right alone and wrong together."""
        pairs = [("channels", "heads"), ("width", "attention_heads")]
        if self.model == "patch_transformer":
            pairs.append(("inner", "attention_heads"))
        for name, divisor in pairs:
            if getattr(self, name) % getattr(self, divisor):
                raise ConfigError(
                    f"{name} is {getattr(self, name)}, which is not a multiple of {divisor}, {getattr(self, divisor)}"
                )
        if 600 % self.patch:
            raise ConfigError(f"patch is {self.patch}; expected a divisor of the 600 points")
        if not set(self.scarce_groups) <= set(range(1, 38)) or len(set(self.scarce_groups)) < len(self.scarce_groups):
            raise ConfigError(f"scarce_groups is {self.scarce_groups}; expected numbers of Table 8, 1 to 37, each once")
        if self.model == "symspectra" and self.imbalance in ("class_weights", "focal"):
            raise ConfigError(f"imbalance {self.imbalance!r} is for baselines; SymSpectra's weights are `weighting`")
        if self.decoder == "none" and self.prediction != "main":
            raise ConfigError(f"prediction is {self.prediction!r}, but there is no decoder; expected 'main'")
        if self.model == "xgboost" and self.pretrain_epochs:
            raise ConfigError("boosted trees cannot be pretrained; expected pretrain_epochs 0")

    @classmethod
    def for_model(cls, model: str, **settings: Any) -> Config:
        """Configuration of a model with that model's own published optimiser settings as defaults."""
        defaults = MODEL_DEFAULTS.get(model, {}) if isinstance(model, str) else {}
        return cls.from_dict({**defaults, "model": model, **settings})

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Config:
        """Build from names and values, as read from TOML or JSON; lists become tuples.

        Raises
        ------
        ConfigError : names an unknown setting and the nearest right one, or the value and the type expected.
        """
        hints = _hints()
        for name in settings:
            if name not in hints:
                raise ConfigError(f"there is no setting {name!r}; {suggest(name, hints)}")
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()})

    def replace(self, **settings: Any) -> Config:
        """A copy with some settings changed, checked like any other."""
        return Config.from_dict({**self.to_dict(), **settings})

    def pretraining(self) -> Config | None:
        """The run on ``open`` whose weights this one starts from, or None; it leaves the same molecules for testing."""
        if not self.pretrain_epochs:
            return None
        plain = {name: getattr(Config, name) for name in ("imbalance", "augment", "scarce_groups", "scarce_share")}
        own = {"dataset": "open", "molecules": self.pretrain_molecules, "epochs": self.pretrain_epochs}
        return self.replace(**plain, **own, split="molecule", pretrain_epochs=0, pretrain_molecules=0)

    def to_dict(self) -> dict[str, Any]:
        """Names and values, ready for JSON."""
        return dataclasses.asdict(self)


# Each baseline's own published settings.
# 1D-CNN (Jung et al. 2023): Adam, 2.5e-4 with two steps of a tenth. Transformer (Alberts et al. 2024, OpenNMT): warm-up
# and inverse square root with factor 2, which peaks at 2 (512 * 8000)^-1/2; trained there by steps, here by epochs.
# Wu et al. 2025: the same with factor 1, peak (512 * 3000)^-1/2. Alberts et al. 2025: Adam, one cycle, clipped.
MODEL_DEFAULTS: dict[str, dict[str, Any]] = {
    "jung_cnn": {"batch": 41, "epochs": 41, "lr": 2.5e-4, "schedule": "steps"},
    "token_transformer": {"dropout": 0.1, "lr": 9.88e-4, "schedule": "noam", "warmup": 8000, "beta2": 0.998},
    "patch_transformer": {"dropout": 0.1, "lr": 8.07e-4, "schedule": "noam", "warmup": 3000, "beta2": 0.98},
    "patch_embedding": {
        **{"dropout": 0.1, "layers": 6, "patch": 25, "epochs": 60, "lr": 1e-3},
        **{"schedule": "onecycle", "clip": 1.0},
    },
    "xgboost": {"epochs": 1},
}


def _hints() -> dict[str, Any]:
    return get_type_hints(Config)


def _check_type(name: str, value: Any, hint: Any) -> None:
    """Refuse text for a number, a number for a flag, an integer outside its meaning."""
    if get_origin(hint) is tuple:
        args = get_args(hint)
        length_ok = isinstance(value, tuple) and (args[-1] is Ellipsis or len(value) == len(args))
        if not length_ok or not all(_is(v, args[0]) for v in value):
            n = "" if args[-1] is Ellipsis else f"{len(args)} times "
            raise ConfigError(f"{name} is {value!r}; expected a list of {n}{args[0].__name__}")
    elif not _is(value, hint):
        raise ConfigError(f"{name} is {value!r} ({type(value).__name__}); expected {hint.__name__}")
    elif hint is float and value != value:
        raise ConfigError(f"{name} is not a number")


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def load_config(path: str | Path, **settings: Any) -> Config:
    """Read a TOML file of settings, or the ``config.json`` of a run; ``settings`` override it.

    Raises
    ------
    ConfigError : the file cannot be read or holds an unknown setting; the message names the file.
    """
    path = Path(path)
    try:
        raw = json.loads(path.read_text()) if path.suffix == ".json" else tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; expected a TOML file of settings, or a run's config.json") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: holds a {type(raw).__name__}; expected names and values")
    if "all" in raw and "seeds" in raw:
        raise ConfigError(f"{path}: is a profile; expected the settings of one run (`symspectra plan`)")
    try:
        config = Config.for_model(raw.pop("model", "symspectra"), **raw)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config.replace(**settings)
