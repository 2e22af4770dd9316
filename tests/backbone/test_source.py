"""What models are called, and which of them the hub has."""

import pytest

from llamaner.backbone.source import hub_id, model_name


@pytest.mark.parametrize(
    ("model", "id", "name"),
    [
        ("default", "HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("org/model", "org/model", "org/model"),
        ("/data/models/llama", None, "llama"),
        ("/data/models/llama/", None, "llama"),
        ("./llama.gguf", None, "llama.gguf"),
        ("C:\\models\\llama", None, "llama"),
    ],
)
def test_names_of_models(model, id, name):
    assert hub_id(model) == id
    assert model_name(model) == name


def test_a_folder_is_not_taken_for_a_model_of_the_hub(tmp_path, monkeypatch):
    (tmp_path / "org/model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub_id("org/model") is None
    assert model_name("org/model") == "model"
