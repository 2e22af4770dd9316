"""What is planned is what is loaded, and nothing but config.json is fetched for it."""

import json
import shutil

import huggingface_hub
import pytest
import torch
import transformers
from huggingface_hub import errors

from llamaner.backbone import Backbone, FeatureStore, plan_memory
from llamaner.backbone.blocks import Blocks, read_config
from llamaner.backbone.plan import weight_bytes
from llamaner.cli import main
from llamaner.configuration import BackboneSettings
from llamaner.corpus import Sentence
from llamaner.errors import BackboneError


def occupied(blocks):
    return sum(p.numel() * p.element_size() for p in blocks.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_are_those_that_are_loaded(model_folder, settings_of, precision):
    settings = settings_of(model_folder, precision=precision, layers=(1, 3))
    found = plan_memory(settings)
    assert found.chosen.blocks == 3
    assert found.chosen.weights == occupied(Backbone(settings).blocks)


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_quantized_weights_are_planned_closely(tmp_path, quantization):
    config = transformers.LlamaConfig(
        vocab_size=100,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    transformers.LlamaModel(config).save_pretrained(tmp_path)
    blocks = Blocks.load(
        tmp_path, (2,), torch.bfloat16, torch.device("cpu"), quantization=quantization
    )
    # Scales lie beside the weights.
    tensors = [*blocks.parameters()]
    scales = [getattr(p, "quant_state", None) for p in tensors]
    extra = sum(s.absmax.numel() * 4 for s in scales if s is not None)
    planned = weight_bytes(read_config(tmp_path), 2, "bfloat16", quantization)
    assert occupied(blocks) + extra == pytest.approx(planned, rel=0.01)


def test_the_store_takes_what_was_planned(model_folder, settings_of, tmp_path):
    sentences = [Sentence.from_words(f"the number {i} of many".split()) for i in range(9)]
    settings = settings_of(model_folder)
    FeatureStore(tmp_path).features(Backbone(settings), sentences)
    found = plan_memory(settings, words=45, sentences=9)
    folder = tmp_path / Backbone(settings).key
    assert found.store == sum((folder / name).stat().st_size for name in ("vectors", "index"))


def test_half_the_layers_and_fewer_bits_take_less(model_folder, settings_of):
    found = plan_memory(settings_of(model_folder, layers=(2, 4)))
    assert [choice.layers for choice in found.alternatives] == [(2, 4)] * 4 + [(1, 2)] * 4
    weights = [choice.weights for choice in found.alternatives]
    assert weights[:4] == sorted(weights[:4], reverse=True)
    assert all(half < whole for half, whole in zip(weights[4:], weights[:4], strict=True))


def test_what_does_not_fit_is_told(model_folder, settings_of, monkeypatch):
    monkeypatch.setattr("llamaner.backbone.plan.free_bytes", lambda _: 1000)
    assert not plan_memory(settings_of(model_folder)).chosen.fits


@pytest.fixture
def hub(model_folder, tmp_path, monkeypatch):
    """A stand-in for the hub: which files were asked for."""
    asked = []

    def download(model, file, revision=None):
        asked.append((model, file, revision))
        return shutil.copy(model_folder / file, tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_of_a_hub_model_only_the_configuration_is_fetched(hub, model_folder):
    settings = BackboneSettings(model="org/name", revision="main", precision="float32")
    found = plan_memory(settings)
    assert hub == [("org/name", "config.json", "main")]
    local = settings.model_copy(update={"model": str(model_folder)})
    assert found.chosen == plan_memory(local).chosen


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.GatedRepoError, r"accept its licence at https://huggingface.co/org/name"),
        (errors.RepositoryNotFoundError, "neither a local folder nor a model"),
        (errors.LocalEntryNotFoundError, "check the network"),
    ],
)
@pytest.mark.parametrize("function", ["hf_hub_download", "snapshot_download"])
def test_what_the_hub_refuses_is_told_with_what_to_do(monkeypatch, error, message, function):
    import httpx

    def refuse(*_, **__):
        if error is errors.LocalEntryNotFoundError:
            raise error("no network")
        request = httpx.Request("GET", "https://huggingface.co/org/name")
        raise error("no", response=httpx.Response(403, request=request))

    monkeypatch.setattr(huggingface_hub, function, refuse)
    start = plan_memory if function == "hf_hub_download" else Backbone
    with pytest.raises(BackboneError, match=message):
        start(BackboneSettings(model="org/name"))


def test_the_command_prints_the_plan(model_folder, tmp_path, sample_file, capsys):
    arguments = ["plan", "--model", str(model_folder), "--device", "cpu"]
    arguments += ["--data", str(sample_file("dev"))]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--token-budget", "512", "--json"])
    assert stopped.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chosen"]["token_budget"] == 512
    assert found["words"] > 0
    with pytest.raises(SystemExit):
        main([*arguments, "--token-budget", "auto"])
    printed = capsys.readouterr().out
    assert "feature store" in printed
    assert "peak on cpu" in printed
