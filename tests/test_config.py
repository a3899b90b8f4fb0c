import pytest
from pydantic import ValidationError

from symspectra.config import Config, load_config
from symspectra.datasets.augmentation import KINDS as AUGMENTATIONS
from symspectra.errors import ConfigError
from symspectra.groups.orders import ORDERS
from symspectra.models.bottleneck import PRIORS
from symspectra.models.registry import _BUILDERS
from symspectra.settings import MODELS, TRAINING, Data, SymSpectra, Training, choices
from symspectra.settings import PRIORS as NAMED_PRIORS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, "no setting 'epoch' of symspectra; did you mean 'epochs'"),
        ({"learning_rate": 1e-3}, "no setting 'learning_rate'"),
        ({"modality": ["ir"]}, "did you mean 'modalities'"),
        ({"dense": [10, 10, 10]}, "no setting 'dense' of symspectra"),  # that of another model
        ({"model": "jung_cnn", "beta": 1.0}, "no setting 'beta' of jung_cnn"),
        ({"model": "symspectre"}, "did you mean 'symspectra'"),
        ({"name": "jung_cnn"}, "no setting 'name'"),
        ({"lr": "1e-4"}, "lr is '1e-4'; .*number"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": 0}, "lr is 0; .*greater"),
        ({"lr": True}, "lr is True; .*number"),
        ({"batch": True}, "batch is True; .*integer"),
        ({"batch": 64.0}, "batch is 64.0; .*integer"),
        ({"batch": 0}, "batch is 0; .*greater than or equal to 1"),
        ({"molecules": -1}, "molecules is -1"),
        ({"nuisance": 1}, "nuisance is 1; .*boolean"),
        ({"dataset": None}, "dataset is None; .*string"),
        ({"pools": [2, 2, 2]}, r"pools is \(2, 2, 2\)"),
        ({"pools": 2}, "pools is 2; .*tuple"),
        ({"pools": [30, 20]}, "leave at least 2"),
        ({"model": "jung_cnn", "dense": [10, 10.5, 10]}, "dense is 10.5; .*integer"),
        ({"modalities": "ir"}, "modalities is 'ir'"),
        ({"modalities": []}, "expected some of"),
        ({"modalities": ["c13", "ir"]}, "in that order, each once"),
        ({"modalities": ["ms", "c13"]}, "in that order, each once"),
        ({"modalities": ["ir", "ir"]}, "in that order, each once"),
        ({"modalities": ["ir", "13c"]}, "modalities is '13c'; did you mean 'c13'"),
        ({"weighting": "papers"}, "weighting is 'papers'; did you mean 'paper'"),
        ({"prior": "laplacian"}, "prior is 'laplacian'; did you mean 'laplace'"),
        ({"heads": 3}, "channels is 64, which is not a multiple of heads, 3"),
        ({"model": "token_transformer", "width": 64, "attention_heads": 3}, "width is 64, .* attention_heads, 3"),
        ({"model": "patch_transformer", "inner": 20}, "inner is 20, which is not a multiple of attention_heads, 8"),
        ({"model": "patch_embedding", "patch": 70}, "patch is 70; expected a divisor of the 600 points"),
        ({"scarce_groups": [0]}, "scarce_groups is 0; .*greater than or equal to 1"),
        ({"scarce_groups": [5, 5]}, "each number once"),
        ({"nuisance": "measured", "ir_intensity": "absolute"}, "expected ir_intensity 'relative'"),
        ({"scarce_share": 0}, "scarce_share is 0"),
        ({"imbalance": "focal"}, "imbalance 'focal' is for baselines"),
        ({"imbalance": "smote"}, "did you mean 'mlsmote'"),
        ({"decoder": "none"}, "prediction is 'decoder', but there is no decoder"),
        ({"model": "xgboost", "pretrain_epochs": 1}, "trees cannot be pretrained"),
        ({"training": {"seeds": 1}}, "did you mean 'seed'"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_with_what_was_expected(settings, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_dict(settings)


def test_flat_names_go_to_their_blocks():
    config = Config("symspectra", molecules=50, beta=0.5, lr=1e-3)
    assert (config.data, config.model) == (Data(molecules=50), SymSpectra(beta=0.5))
    assert config.training == Training(lr=1e-3)
    assert (config.get("molecules"), config.get("beta"), config.get("lr")) == (50, 0.5, 1e-3)
    assert config.get("dense") is None and config.get("dense", 7) == 7 and config.model.name == "symspectra"


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_belongs_to_one_block_and_every_model_can_be_built(model):
    names = [name for block in (Data, MODELS[model], Training) for name in block.model_fields]
    assert len(names) == len(set(names)) and set(TRAINING.get(model, {})) <= set(Training.model_fields)
    assert Config(model).model.name == model and set(MODELS) == set(_BUILDERS)


def test_round_trip_and_replace():
    config = Config(modalities=("ir", "h1"), lr=1e-3, seed=3)
    assert Config.from_dict(config.to_dict()) == config
    assert config.replace(seed=4) == Config(modalities=("ir", "h1"), lr=1e-3, seed=4)
    assert config.replace(modalities=["c13"]).data.modalities == ("c13",)
    with pytest.raises(ConfigError, match="did you mean 'seed'"):
        config.replace(seeds=4)
    with pytest.raises(ValidationError):
        config.training.seed = 5
    assert len({config, config.replace()}) == 1


def test_equal_configurations_are_written_alike():
    """A run is named by what is written, so 0 and 0.0 must not make two runs."""
    assert Config(beta=0) == Config(beta=0.0)
    assert repr(Config(beta=0).to_dict()) == repr(Config(beta=0.0).to_dict())


def test_models_have_their_own_optimiser_settings():
    cnn = Config("jung_cnn").training
    assert (cnn.batch, cnn.epochs, cnn.lr, cnn.schedule) == (41, 41, 2.5e-4, "steps")
    assert Config("jung_cnn", batch=64).training.batch == 64
    assert Config("symspectra") == Config()


def test_defaults_are_the_papers():
    t, m = Config().training, Config().model
    assert (t.lr, t.batch, t.epochs, m.beta, m.s1, m.s2) == (3e-4, 128, 100, 1e-6, 0.3, 0.3)
    assert (m.temperature, m.teacher_forcing, m.teacher_forcing_decay, m.sigma_floor) == (1.0, 0.5, 0.95, 0.1)


def test_choices_are_those_of_the_modules():
    assert choices(SymSpectra, "order") == ORDERS and choices(Data, "augment") == AUGMENTATIONS
    assert NAMED_PRIORS == list(PRIORS)


def test_files_of_settings(tmp_path):
    (tmp_path / "windows.toml").write_bytes(b'\xef\xbb\xbfmodel = "symspectra"\r\nmodalities = ["c13"]\r\n')
    assert load_config(tmp_path / "windows.toml").data.modalities == ("c13",)
    path = tmp_path / "mine.toml"
    path.write_text('model = "jung_cnn"\nmodalities = ["ir"]\nlr = 1e-4\n')
    expected = Config("jung_cnn", modalities=("ir",), lr=1e-4, seed=2)
    assert load_config(path, seed=2) == expected
    path.write_text('[model]\nname = "jung_cnn"\n[data]\nmodalities = ["ir"]\n[training]\nlr = 1e-4\nseed = 2\n')
    assert load_config(path) == expected
    (tmp_path / "config.json").write_text('{"epochs": 7, "pools": [4, 4]}')
    assert load_config(tmp_path / "config.json") == Config(epochs=7, pools=(4, 4))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.toml", "epoch = 3", "did you mean 'epochs'"),
        ("mine.toml", 'lr = "1e-4"', "lr is '1e-4'"),
        ("mine.toml", "lr = ", "Invalid"),
        ("mine.toml", "all = 1\nseeds = 2", "is a profile"),
        ("mine.toml", None, "no such file"),
        ("config.json", "[1]", "holds a list"),
        ("config.json", "", "Expecting value"),
    ],
)
def test_errors_name_the_file(tmp_path, name, text, message):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=rf"{name}: .*{message}"):
        load_config(path)


def test_pretraining_is_a_run_on_open():
    assert Config().pretraining() is None
    own = {"dataset": "experimental", "modalities": ("c13", "ms"), "test_tenths": 3, "molecules": 50, "seed": 4}
    config = Config(**own, augment="shift", withhold=0.2, epochs=9, pretrain_epochs=5, pretrain_molecules=70)
    before = config.pretraining()
    assert before == Config(**{**own, "dataset": "open", "molecules": 70}, epochs=5, withhold=0.2)
    assert before.pretraining() is None
