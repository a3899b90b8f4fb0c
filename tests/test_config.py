import dataclasses

import pytest

from symspectra.config import CHOICES, MODEL_DEFAULTS, Config, load_config
from symspectra.datasets.augmentation import KINDS as AUGMENTATIONS
from symspectra.datasets.imbalance import STRATEGIES
from symspectra.errors import ConfigError
from symspectra.groups.orders import ORDERS
from symspectra.models.bottleneck import CROSS_TERMS, PRIORS
from symspectra.models.decoder import CONDITIONINGS
from symspectra.models.decoder import KINDS as DECODERS
from symspectra.models.weighting import REDUCTIONS, WEIGHTINGS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, "there is no setting 'epoch'; did you mean 'epochs'"),
        ({"learning_rate": 1e-3}, "there is no setting 'learning_rate'"),
        ({"modality": ["ir"]}, "did you mean 'modalities'"),
        ({"lr": "1e-4"}, r"lr is '1e-4' \(str\); expected float"),
        ({"lr": float("nan")}, "lr is not a number"),
        ({"lr": 0}, "lr is 0"),
        ({"lr": True}, r"lr is True \(bool\); expected float"),
        ({"batch": True}, r"batch is True \(bool\); expected int"),
        ({"batch": 64.0}, r"batch is 64.0 \(float\); expected int"),
        ({"batch": 0}, "batch is 0; expected at least 1"),
        ({"nuisance": 1}, r"nuisance is 1 \(int\); expected bool"),
        ({"dataset": None}, r"dataset is None \(NoneType\); expected str"),
        ({"pools": [2, 2, 2]}, r"pools is \(2, 2, 2\); expected a list of 2 times int"),
        ({"pools": 2}, "pools is 2; expected a list"),
        ({"pools": [30, 20]}, "leave at least 2"),
        ({"dense": [10, 10.5, 10]}, "expected a list of 3 times int"),
        ({"modalities": "ir"}, "modalities is 'ir'; expected a list of str"),
        ({"modalities": []}, "expected some of"),
        ({"modalities": ["c13", "ir"]}, "in that order, each once"),
        ({"modalities": ["ir", "ir"]}, "in that order, each once"),
        ({"modalities": ["ir", "13c"]}, "modalities is '13c'; did you mean 'c13'"),
        ({"model": "symspectre"}, "did you mean 'symspectra'"),
        ({"weighting": "papers"}, "did you mean 'paper'"),
        ({"heads": 3}, "channels is 64, which is not a multiple of heads, 3"),
        ({"molecules": -1}, "molecules is -1"),
        ({"width": 64, "attention_heads": 3}, "width is 64, which is not a multiple of attention_heads, 3"),
        ({"model": "patch_transformer", "inner": 20}, "inner is 20, which is not a multiple of attention_heads, 8"),
        ({"patch": 70}, "patch is 70; expected a divisor of the 600 points"),
        ({"scarce_groups": [0]}, "expected numbers of Table 8, 1 to 37"),
        ({"scarce_groups": [5, 5]}, "each once"),
        ({"scarce_share": 0}, "scarce_share is 0"),
        ({"imbalance": "focal"}, "imbalance 'focal' is for baselines"),
        ({"imbalance": "smote"}, "did you mean 'mlsmote'"),
        ({"decoder": "none"}, "prediction is 'decoder', but there is no decoder"),
    ],
)
def test_wrong_settings_are_refused_with_what_was_expected(settings, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_dict(settings)


def test_round_trip_and_replace():
    config = Config(modalities=("ir", "h1"), lr=1e-3, seed=3)
    assert Config.from_dict(config.to_dict()) == config
    assert config.replace(seed=4) == dataclasses.replace(config, seed=4)
    assert config.replace(modalities=["c13"]).modalities == ("c13",)
    with pytest.raises(ConfigError, match="did you mean 'seed'"):
        config.replace(seeds=4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.training.seed = 5
    assert len({config, config.replace()}) == 1


def test_equal_configurations_are_written_alike():
    """A run is named by what is written, so 0 and 0.0 must not make two runs."""
    assert Config(beta=0) == Config(beta=0.0)
    assert repr(Config(beta=0).to_dict()) == repr(Config(beta=0.0).to_dict())


def test_models_have_their_own_optimiser_settings():
    cnn = Config("jung_cnn")
    assert (cnn.batch, cnn.epochs, cnn.lr, cnn.schedule) == (41, 41, 2.5e-4, "steps")
    assert Config("jung_cnn", batch=64).batch == 64
    assert Config("symspectra") == Config()
    assert set(MODEL_DEFAULTS) <= set(CHOICES["model"])


def test_defaults_are_the_papers():
    c = Config()
    assert (c.lr, c.batch, c.epochs, c.beta, c.s1, c.s2) == (3e-4, 128, 100, 1e-6, 0.3, 0.3)
    assert (c.temperature, c.teacher_forcing, c.teacher_forcing_decay, c.sigma_floor) == (1.0, 0.5, 0.95, 0.1)


def test_choices_are_those_of_the_modules():
    assert CHOICES["cross_term"] == CROSS_TERMS
    assert CHOICES["weighting"] == WEIGHTINGS and CHOICES["cmi_reduce"] == REDUCTIONS
    assert CHOICES["conditioning"] == CONDITIONINGS
    assert CHOICES["order"] == ORDERS and CHOICES["decoder"] == (*DECODERS, "none")
    assert CHOICES["prior"] == tuple(PRIORS) and CHOICES["imbalance"] == STRATEGIES
    assert CHOICES["augment"] == AUGMENTATIONS


def test_toml_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('model = "jung_cnn"\nmodalities = ["ir"]\nlr = 1e-4\n')
    config = load_config(path, seed=2)
    assert (
        config.model.name,
        config.data.modalities,
        config.training.lr,
        config.training.seed,
        config.training.batch,
    ) == ("jung_cnn", ("ir",), 1e-4, 2, 41)
    (tmp_path / "config.json").write_text('{"epochs": 7, "pools": [4, 4]}')
    assert load_config(tmp_path / "config.json") == Config(epochs=7, pools=(4, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "did you mean 'epochs'"),
        ('lr = "1e-4"', "expected float"),
        ("lr = ", "Invalid"),
        (None, "no such file"),
    ],
)
def test_errors_name_the_toml_file(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=rf"mine.toml: .*{message}"):
        load_config(path)


def test_pretraining_is_a_run_on_open():
    assert Config().pretraining() is None
    own = {"dataset": "experimental", "modalities": ("c13", "ms"), "test_tenths": 3, "molecules": 50, "seed": 4}
    config = Config(**own, augment="shift", withhold=0.2, epochs=9, pretrain_epochs=5, pretrain_molecules=70)
    before = config.pretraining()
    assert before == Config(
        dataset="open", modalities=("c13", "ms"), test_tenths=3, molecules=70, epochs=5, withhold=0.2, seed=4
    )
    assert before.pretraining() is None
    with pytest.raises(ConfigError, match="trees cannot be pretrained"):
        Config(model="xgboost", pretrain_epochs=1)


def test_the_mass_spectrum_comes_last():
    assert Config(modalities=("c13", "ms")).modalities == ("c13", "ms")
    with pytest.raises(ConfigError, match="in that order, each once"):
        Config(modalities=("ms", "c13"))
