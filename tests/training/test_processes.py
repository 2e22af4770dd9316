"""Two processes under torchrun compute the same features, and train to the same scores."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from llamaner.backbone import Backbone, FeatureStore
from llamaner.configuration import (
    BackboneSettings,
    HeadSettings,
    LoraSettings,
    TrainingConfiguration,
)
from llamaner.corpus import Corpus, read_corpus, sample_corpus, write_conll
from llamaner.training import train
from llamaner.training.processes import averaged, share_of


class Group:
    """A stand-in for one of several processes."""

    def __init__(self, index, count):
        self.process_index, self.num_processes = index, count


def test_the_shares_of_a_batch_make_up_the_whole():
    batch = list(range(7))
    shares = [share_of(batch, Group(index, 3)) for index in range(3)]
    assert sorted(i for share in shares for i in share) == batch
    assert max(map(len, shares)) - min(map(len, shares)) == 1
    assert share_of(batch, Group(0, 1)) == batch
    assert share_of([5], Group(2, 3)) == []


@pytest.mark.parametrize("size", [7, 2])
def test_gradients_of_the_shares_make_that_of_the_batch(monkeypatch, size):
    data = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))[:size]

    def gradient(share, *, total):
        torch.manual_seed(1)
        network = nn.Linear(4, 1)
        losses = network(data[list(share or [0])]).square()
        loss = losses.sum() * bool(share) if total else losses.mean()
        loss.backward()
        return network, loss, len(share)

    whole, whole_loss, _ = gradient(range(size), total=False)
    shares = [share_of(list(range(size)), Group(index, 3)) for index in range(3)]
    (network, loss, count), *others = [gradient(share, total=True) for share in shares]

    def all_reduce(flat):
        for other, total, number in others:
            own = [total.detach().reshape(1), torch.tensor([float(number)])]
            flat += torch.cat([*own, *(p.grad.flatten() for p in other.parameters())])

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    mean = averaged(network.parameters(), loss, count)
    torch.testing.assert_close(mean, whole_loss.detach())
    for found, expected in zip(network.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


def _lines(settings):
    """Settings as lines of TOML."""
    return [f"{n} = {json.dumps(v)}" for n, v in settings.model_dump(exclude_none=True).items()]


def torchrun(configuration, path, *flags):
    """Run `llamaner train` in two processes; what they printed."""
    path.write_text(
        "\n".join(
            [
                f"train = {configuration.train!r}",
                f"dev = {configuration.dev!r}",
                f"output = {str(configuration.output)!r}",
                f"store = {str(configuration.store)!r}",
                f"epochs = {configuration.epochs}",
                f"batch_size = {configuration.batch_size}",
                f"learning_rate = {configuration.learning_rate}",
                f"adapt = {configuration.adapt!r}",
                "[lora]",
                *_lines(configuration.lora),
                "[backbone]",
                f"model = {configuration.backbone.model!r}",
                'precision = "float32"',
                'device = "cpu"',
                "layers = [1, 3]",
                "[head]",
                *_lines(configuration.head),
            ]
        )
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += [f"--master-port={port}", "-m", "llamaner.cli", "train"]
    command += ["--config", str(path), "--json", *flags]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    return result


@pytest.fixture
def configured(model_folder, tmp_path):
    """A function from the name of a run, and changes, to its configuration."""
    for split, count in (("train", 30), ("dev", 8)):
        documents = sample_corpus(split).documents[:count]
        write_conll(Corpus(documents, "BIO"), tmp_path / f"{split}.conll")

    def make(name, **changes):
        values = {
            "train": str(tmp_path / "train.conll"),
            "dev": str(tmp_path / "dev.conll"),
            "output": tmp_path / name,
            "store": tmp_path / f"{name}-store",
            "epochs": 10,
            "batch_size": 7,
            "learning_rate": 1e-2,
            "backbone": BackboneSettings(
                model=str(model_folder), precision="float32", device="cpu", layers=(1, 3)
            ),
            # What dropout leaves out depends on the number of processes.
            "head": HeadSettings(lstm_width=16, character_width=16, dropout=0, word_dropout=0),
        }
        return TrainingConfiguration(**{**values, **changes})

    return make


def losses_of(output):
    """The loss of each epoch of a run."""
    lines = (output / "training/metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.slow
def test_two_processes_give_the_same_features_and_scores(configured, tmp_path):
    alone = train(configured("alone"))
    result = torchrun(configured("together"), tmp_path / "run.toml")
    scores = json.loads(result.stdout)
    assert "2 processes share" in result.stderr
    assert result.stderr.count("epoch  1/10") == 1, "only one process speaks"

    backbone = Backbone(configured("alone").backbone)
    names = ("train.conll", "dev.conll")
    documents = [d for name in names for d in read_corpus(tmp_path / name).documents]
    one = FeatureStore(tmp_path / "alone-store").document_features(backbone, documents)
    other = FeatureStore(tmp_path / "together-store").document_features(backbone, documents)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first, second, atol=4e-3)
    assert not list((tmp_path / "together-store").rglob("part-*"))

    assert scores["best_epoch"] == alone.best_epoch
    f1 = alone.evaluation.strict.overall.f1
    assert f1 > 0
    assert scores["strict"]["overall"]["f1"] == pytest.approx(f1, abs=1e-9)
    losses = [row["loss"] for row in alone.history]
    assert losses_of(tmp_path / "together") == pytest.approx(losses, rel=1e-3)
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("alone", "together"))
    assert all(torch.allclose(first[n], second[n], atol=0.05) for n in first)


@pytest.mark.slow
def test_two_processes_adapt_the_backbone_alike(configured, tmp_path):
    changes = {
        "epochs": 3,
        "adapt": "lora",
        "lora": LoraSettings(
            rank=4, first_block=2, dropout=0, learning_rate=5e-3, gradient_checkpointing=True
        ),
    }
    alone = train(configured("alone", **changes))
    result = torchrun(configured("together", **changes), tmp_path / "run.toml")
    scores = json.loads(result.stdout)
    assert scores["best_epoch"] == alone.best_epoch
    f1 = alone.evaluation.strict.overall.f1
    assert scores["strict"]["overall"]["f1"] == pytest.approx(f1, abs=0.01)
    losses = [row["loss"] for row in alone.history]
    assert losses[-1] < losses[0]
    assert losses_of(tmp_path / "together") == pytest.approx(losses, rel=1e-3)
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("alone", "together"))
    assert first.keys() == second.keys()
    updates = [name for name in first if "lora_B" in name]
    assert len(updates) == 2 * 7  # they begin at zero
    for name in updates:
        assert first[name].abs().max() > 1e-3
        assert (first[name] - second[name]).float().norm() < 0.05 * first[name].float().norm()
