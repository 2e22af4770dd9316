"""Configurations: TOML and flags, and every mistake named."""

import pytest

from llamaner.configuration import BackboneSettings, TrainingConfiguration, read_configuration
from llamaner.errors import ConfigurationError

TOML = """
train = "train.conll"
epochs = 3

[backbone]
pooling = "first"
layers = [1, 2]

[head]
dropout = 0.1
"""


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return write


def test_flags_come_on_top_of_the_file(toml):
    overrides = {"epochs": 5, "backbone": {"repeat": 0}}
    configuration = read_configuration(toml(TOML), overrides)
    assert configuration.epochs == 5
    assert configuration.train == "train.conll"
    assert configuration.backbone.pooling == "first"
    assert configuration.backbone.layers == (1, 2)
    assert configuration.backbone.repeat == 0
    assert configuration.head.dropout == 0.1


def test_explicit_gives_only_what_was_given():
    configuration = TrainingConfiguration.model_validate({"epochs": 2, "head": {"dropout": 0.2}})
    assert configuration.explicit() == {"epochs": 2, "head": {"dropout": 0.2}}


def test_a_preset_fills_what_is_not_given(toml):
    plain = TrainingConfiguration()
    fast = read_configuration(toml('preset = "fast"\n[backbone]\npooling = "first"'), {})
    assert (fast.backbone.repeat, fast.backbone.depth, fast.backbone.pooling) == (0, 0.5, "first")
    assert fast.head.lstm_width < plain.head.lstm_width
    given = read_configuration(toml('preset = "fast"'), {"backbone": {"repeat": 2}})
    assert (given.backbone.repeat, given.backbone.depth) == (2, 0.5)
    in_python = TrainingConfiguration(preset="accurate", backbone=BackboneSettings(depth=0.5))
    assert (in_python.adapt, in_python.backbone.repeat, in_python.backbone.depth) == (
        "lora",
        0,
        0.5,
    )
    assert TrainingConfiguration(preset="default").model_dump() == plain.model_dump()


def test_a_configuration_with_a_preset_is_read_back_as_it_was():
    fast = TrainingConfiguration.model_validate({"preset": "fast", "backbone": {"repeat": 1}})
    assert TrainingConfiguration.model_validate_json(fast.model_dump_json()) == fast


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "there is no setting 'epoch'"),
        ('preset = "slow"', "preset: .* found 'slow'"),
        ("epochs = 0", "epochs: should be greater than or equal to 1, found 0"),
        ('[backbone]\npooling = "best"', "backbone.pooling: .* found 'best'"),
        ("[heads]\ndropout = 1", "there is no setting 'heads'"),
        ("epochs = ", "not readable as TOML"),
        ('head = "wide"', "head: .* found 'wide'"),
    ],
)
def test_mistakes_are_named(toml, text, message):
    with pytest.raises(ConfigurationError, match=message):
        read_configuration(toml(text))


def test_all_mistakes_in_one_go(toml):
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(toml("epochs = 0\nwarmup = 2\nspeed = 1"))
    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigurationError, match="no such file"):
        read_configuration(tmp_path / "run.toml")
