"""What can be set: blocks of settings of the data, of every model, and of the training, each checked by pydantic."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from symspectra.errors import suggest
from symspectra.modalities import SPECTRA

PRIORS = ["data", "gaussian", "laplace", "gamma"]  # `symspectra.models.registry.register_prior` adds to them

Count = Annotated[int, Field(ge=0, le=10**9)]
Size = Annotated[int, Field(ge=1, le=10**6)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Dropout = Annotated[float, Field(ge=0, le=0.99)]


def _known_prior(name: str) -> str:
    if name not in PRIORS:
        raise ValueError(f"{suggest(name, PRIORS)} If it is your own, import the module that registers {name!r}.")
    return name


class Block(BaseModel):
    """Settings that belong together, checked when they are set: text for a number is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Data(Block):
    """What is trained on.

    dataset : name of a data set (`symspectra.datasets.load_dataset`)
    molecules : train and choose on so many of its molecules, 0 for all; they are in random order
    least_positives : of line lists, for every group so many training molecules, where the set has them, are among
        ``molecules``; the others are the first ones, which keep the skew (`symspectra.datasets.splits.chosen`)
    test_unseen : of line lists, test on all other ``molecules`` too; without, and of a prepared folder, on the test
        split alone, which is the same for any number of them
    test_molecules : of line lists, test on at most so many, 0 for all
    modalities : which spectra the model sees
    labels : names of what is predicted, where it is not the groups of Table 8; `symspectra.training.runs.run` takes
        them from an `ArrayDataset`
    resample : how NMR axes become 600 points (App. F.1): ``blockmax`` keeps narrow lines, ``linear`` is Eq. 32
    ir_intensity : infrared spectra ``relative`` to their own maximum, as measured ones are; or, of line lists,
        ``absolute``, as App. F.2 keeps them: a typical molecule's maximum is 1
    nuisance : noise when line lists are rendered, of the size of the simulation's errors; redrawn for training every
        epoch. With ``measured``, infrared spectra also differ as measured ones do: baseline, state, strengths, range
    split : ``molecule``, by a hash of the InChIKey, or ``scaffold``: test scaffolds far from training (App. K)
    test_tenths : tenths of the molecules that the split by molecule keeps for testing
    scarce_groups, scarce_share : numbers of groups, from 1 (of Table 8, or of ``labels``), and the share of their
        training positives that is kept (Fig. 4)
    imbalance : strategy of Table 2: ``mlsmote`` oversamples, the others change a baseline's loss
    weight_cap : largest of the class weights; 10 is that of a group in one molecule of twenty, three in a batch of 64:
        with a larger one, single molecules of rare groups outweigh whole batches
    augment : augmentation of the training spectra (`symspectra.datasets.augmentation`, App. I)
    withhold : share of the training spectra withheld, others at every epoch, so that a model learns to do without
    """

    dataset: str = "open"
    molecules: Count = 0
    least_positives: Count = 0
    test_unseen: bool = True
    test_molecules: Count = 0
    modalities: tuple[Literal[SPECTRA], ...] = ("ir", "c13", "h1")
    labels: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    resample: Literal["blockmax", "blockmean", "linear"] = "blockmax"
    ir_intensity: Literal["relative", "absolute"] = "relative"
    nuisance: bool | Literal["measured"] = True
    split: Literal["molecule", "scaffold"] = "molecule"
    scarce_groups: tuple[Size, ...] = ()
    scarce_share: Annotated[float, Field(ge=1e-6, le=1)] = 1.0
    imbalance: Literal["none", "mlsmote", "class_weights", "focal"] = "none"
    weight_cap: Annotated[float, Field(ge=1, le=1e6)] = 10.0
    augment: Literal["none", "shift", "vertical", "smooth", "mix"] = "none"
    withhold: Dropout = 0.0
    test_tenths: Annotated[int, Field(ge=1, le=5)] = 1

    @model_validator(mode="after")
    def _each_once(self) -> Data:
        if not self.modalities or list(self.modalities) != sorted(set(self.modalities), key=SPECTRA.index):
            raise ValueError(f"modalities are {self.modalities}; expected some of {SPECTRA}, in that order, each once")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels are {self.labels}; expected each name once")
        scarce, last = self.scarce_groups, len(self.labels) or 37
        if len(set(scarce)) < len(scarce) or max(scarce, default=1) > last:
            raise ValueError(f"scarce_groups is {scarce}; expected numbers from 1 to {last}, each number once")
        if self.nuisance == "measured" and self.ir_intensity == "absolute":
            raise ValueError(
                "nuisance 'measured' hides absolute infrared intensities; expected ir_intensity 'relative'"
            )
        return self


class Model(Block):
    """A model's name and its own settings; the settings of a model of your own are a subclass of this."""

    name: str
    multiples: ClassVar[tuple[tuple[str, str], ...]] = ()  # settings of which the first is a multiple of the second

    @model_validator(mode="after")
    def _divide(self) -> Model:
        for name, divisor in self.multiples:
            whole, part = getattr(self, name), getattr(self, divisor)
            if whole % part:
                raise ValueError(f"{name} is {whole}, which is not a multiple of {divisor}, {part}")
        return self


class SymSpectra(Model):
    """The paper's model (App. B).

    stem, channels, kernel, pools : the two convolution blocks (Eq. 2); 600 / pools[0] / pools[1] tokens
    heads : of the cross-modal attention (Eq. 4); ``channels / heads`` should be 16 or more
    hidden, dropout : width of the fused representation T_f, and its dropout
    temperature, sigma_floor : of the relaxed gates (Eq. 7), and least noise of Eq. 6
    eval_gate : evaluation with the mean of Eq. 6 under the gates of training (``mean``), with ``p H + (1 - p) mu``, its
        mean under gates that are open or closed (``expected``), or with the tokens as they are (``clean``)
    bottleneck : gates and noise (Eqs. 3 to 8); without, ``T = H`` and no bound (ablation of Table 3)
    beta, cross_term, aggregate : weight of the bound (Eqs. 18, 19), sign of Eq. 19, and of what it is taken: all
        ``tokens``, or their sum, the ``channels`` of which are summed or averaged (``mean``)
    prior : noise of Eq. 6 and reference of the bound (`symspectra.models.bottleneck.Prior`)
    penalty : weight of the term I(Y; T^not i) that the paper leaves out (Table 5)
    weighting, s1, s2, weight_ramp, cmi_reduce : weights by conditional mutual information
        (`symspectra.models.weighting`)
    decoder, order, conditioning, decoder_hidden, decoder_dropout : the label decoder (`symspectra.models.decoder`);
        labels of your own are decoded in the ``given`` order
    teacher_forcing, teacher_forcing_decay : probability of the true label, and its factor per epoch
    prediction : which head answers: ``decoder``, ``main``, or their mean (``ensemble``)
    """

    name: Literal["symspectra"] = "symspectra"
    stem: Size = 32
    channels: Size = 64
    kernel: Size = 11
    pools: tuple[Size, Size] = (2, 2)
    heads: Size = 4
    hidden: Size = 256
    dropout: Dropout = 0.3
    temperature: Annotated[float, Field(ge=1e-3, le=100)] = 1.0
    sigma_floor: Annotated[float, Field(ge=1e-6, le=100)] = 0.1
    eval_gate: Literal["mean", "expected", "clean"] = "mean"
    bottleneck: bool = True
    beta: Weight = 1e-6
    cross_term: Literal["printed", "negated", "none"] = "printed"
    aggregate: Literal["tokens", "channels", "mean"] = "tokens"
    prior: Annotated[str, AfterValidator(_known_prior)] = "data"
    penalty: Weight = 0.0
    weighting: Literal["paper", "sample", "label_ema", "none"] = "paper"
    s1: Annotated[float, Field(ge=0, le=100)] = 0.3
    s2: Annotated[float, Field(ge=0, le=100)] = 0.3
    weight_ramp: Count = 4
    cmi_reduce: Literal["max", "mean", "sum"] = "max"
    decoder: Literal["lstm", "gru", "transformer", "none"] = "lstm"
    order: Literal["iupac", "alphabetical", "given", "mutual_information", "gnn"] = "iupac"
    conditioning: Literal["residual", "input", "h0"] = "residual"
    decoder_hidden: Size = 128
    decoder_dropout: Dropout = 0.1
    teacher_forcing: Share = 0.5
    teacher_forcing_decay: Share = 0.95
    prediction: Literal["decoder", "main", "ensemble"] = "decoder"
    multiples = (("channels", "heads"),)

    @model_validator(mode="after")
    def _fit_together(self) -> SymSpectra:
        if 600 // self.pools[0] // self.pools[1] < 2:
            raise ValueError(f"pools is {self.pools}; expected two factors that leave at least 2 of 600 points")
        if self.decoder == "transformer" and self.decoder_hidden % (heads := max(1, self.decoder_hidden // 16)):
            raise ValueError(f"decoder_hidden is {self.decoder_hidden}; expected a multiple of {heads}")
        if self.decoder == "none" and self.prediction != "main":
            raise ValueError(f"prediction is {self.prediction!r}, but there is no decoder; expected 'main'")
        return self


class JungCNN(Model):
    """The 1D-CNN: widths of its convolutions and of its dense layers."""

    name: Literal["jung_cnn"] = "jung_cnn"
    filters: tuple[Size, Size] = (31, 62)
    dense: tuple[Size, Size, Size] = (4927, 2785, 1574)


class Encoder(Model):
    """Sizes that the three Transformers share."""

    width: Size = 512
    layers: Size = 4
    attention_heads: Size = 8
    feedforward: Size = 2048
    dropout: Dropout = 0.1
    multiples = (("width", "attention_heads"),)


class TokenTransformer(Encoder):
    """The Transformer: ``points`` are the tokens of a spectrum."""

    name: Literal["token_transformer"] = "token_transformer"
    points: Annotated[int, Field(ge=1, le=600)] = 400


def _divides_the_points(patch: int) -> int:
    if 600 % patch:
        raise ValueError("expected a divisor of the 600 points")
    return patch


Patch = Annotated[int, Field(ge=1, le=600), AfterValidator(_divides_the_points)]


class PatchTransformer(Encoder):
    """Wu et al.: ``patch`` are the points of a token, ``inner`` the width within it."""

    name: Literal["patch_transformer"] = "patch_transformer"
    patch: Patch = 20
    inner: Size = 512
    multiples = (("width", "attention_heads"), ("inner", "attention_heads"))


class PatchEmbedding(Encoder):
    """Alberts et al.: ``patch`` are the points of a token."""

    name: Literal["patch_embedding"] = "patch_embedding"
    patch: Patch = 25
    layers: Size = 6


class XGBoost(Model):
    """Boosted trees: rounds, each one tree per group, and into how many steps each point is cut."""

    name: Literal["xgboost"] = "xgboost"
    trees: Size = 100
    bins: Annotated[int, Field(ge=2, le=65_536)] = 256


class Training(Block):
    """How it is trained.

    epochs, batch, lr, beta2, clip : Adam; ``clip`` is the largest norm of the gradient, 0 for none
    schedule, warmup : `symspectra.training.schedules.learning_rate`; ``warmup`` counts steps and is of ``noam``
    seed : of the weights, the order of the samples, dropout, gates and noise
    precision : bf16 is autocast, for CUDA
    pretrain_epochs, pretrain_molecules : epochs on the simulated spectra of ``open`` before those on the data set,
        0 for none, and how many of its molecules (`Config.pretraining`)
    """

    epochs: Size = 100
    batch: Size = 128
    lr: Annotated[float, Field(ge=1e-9, le=10)] = 3e-4
    schedule: Literal["cosine", "steps", "noam", "onecycle"] = "cosine"
    warmup: Size = 1000
    beta2: Share = 0.999
    clip: Weight = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    precision: Literal["float32", "bf16"] = "float32"
    pretrain_epochs: Count = 0
    pretrain_molecules: Count = 0


#: The settings of every model; `symspectra.models.registry.register_model` adds one of your own.
MODELS: dict[str, type[Model]] = {
    block.model_fields["name"].default: block
    for block in (SymSpectra, JungCNN, TokenTransformer, PatchTransformer, PatchEmbedding, XGBoost)
}

# Each baseline's own published optimiser settings.
# 1D-CNN (Jung et al. 2023): Adam, 2.5e-4 with two steps of a tenth. Transformer (Alberts et al. 2024, OpenNMT): warm-up
# and inverse square root with factor 2, which peaks at 2 (512 * 8000)^-1/2; trained there by steps, here by epochs.
# Wu et al. 2025: the same with factor 1, peak (512 * 3000)^-1/2. Alberts et al. 2025: Adam, one cycle, clipped.
TRAINING: dict[str, dict[str, Any]] = {
    "jung_cnn": {"batch": 41, "epochs": 41, "lr": 2.5e-4, "schedule": "steps"},
    "token_transformer": {"lr": 9.88e-4, "schedule": "noam", "warmup": 8000, "beta2": 0.998},
    "patch_transformer": {"lr": 8.07e-4, "schedule": "noam", "warmup": 3000, "beta2": 0.98},
    "patch_embedding": {"epochs": 60, "lr": 1e-3, "schedule": "onecycle", "clip": 1.0},
    "xgboost": {"epochs": 1},
}


def choices(block: type[Block], name: str) -> tuple[str, ...]:
    """The words that a setting of a block may be."""
    return get_args(block.model_fields[name].annotation)
