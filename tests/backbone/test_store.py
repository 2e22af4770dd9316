"""The feature store computes what is new and nothing else, through kills, damage and company."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import safetensors.torch
from filelock import FileLock

from llamaner.backbone import Backbone, FeatureStore, shelf
from llamaner.corpus import LabelSpan, Sentence
from llamaner.errors import BackboneError, StoreError

EXTRACT = """
import sys
from llamaner.backbone import Backbone, FeatureStore, shelf
from llamaner.configuration import BackboneSettings
from llamaner.corpus import Sentence
shelf._SYNC_BYTES = 4096
backbone = Backbone(BackboneSettings.model_validate_json(sys.argv[1]))
texts = [f"the number {i} of many" for i in range(int(sys.argv[3]))]
sentences = [Sentence.from_words(text.split()) for text in texts]
FeatureStore(sys.argv[2]).features(backbone, sentences)
"""


def numbered(count):
    return [Sentence.from_words(f"the number {i} of many".split()) for i in range(count)]


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "store")


@pytest.fixture
def counted(tiny_backbone, monkeypatch):
    """The texts that the backbone was asked to embed."""
    embedded = []
    embed = Backbone.embed

    def counting(self, sentences):
        embedded.extend(sentence.text for sentence in sentences)
        return embed(self, sentences)

    monkeypatch.setattr(Backbone, "embed", counting)
    return embedded


def in_process(backbone, folder, count):
    settings = backbone.settings.model_dump_json()
    return subprocess.Popen(
        [sys.executable, "-c", EXTRACT, settings, str(folder), str(count)],
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_right(features, backbone, sentences):
    expected = dict(backbone.embed(sentences))
    for index, found in enumerate(features):
        np.testing.assert_allclose(found, expected[index], atol=4e-3)


def test_only_new_sentences_are_computed(store, tiny_backbone, counted):
    store.features(tiny_backbone, numbered(5))
    assert len(counted) == 5
    labelled = [s.with_entities([LabelSpan("PER", 0, 1)]) for s in numbered(5)]
    features = store.features(tiny_backbone, [*labelled, *numbered(7), *numbered(7)])
    assert counted[5:] == ["the number 5 of many", "the number 6 of many"]
    assert len(features) == 19
    assert_right(features, tiny_backbone, [*labelled, *numbered(7), *numbered(7)])


def test_the_same_text_with_other_words_is_another_entry(store, tiny_backbone, counted):
    sentence = Sentence("New York", ((0, 3), (4, 8)))
    whole = Sentence("New York", ((0, 8),))
    shapes = [part.shape[0] for part in store.features(tiny_backbone, [sentence, whole])]
    assert shapes == [2, 1]
    assert len(counted) == 2


def test_a_sentence_without_words_is_kept_as_such(store, tiny_backbone, counted):
    empty = Sentence("", ())
    for _ in range(2):
        assert store.features(tiny_backbone, [empty, *numbered(1)])[0].shape == (0, 2, 32)
    assert len(counted) == 2


def test_a_damaged_entry_is_noticed_and_computed_again(store, tiny_backbone, counted):
    store.features(tiny_backbone, numbered(6))
    path = store.root / tiny_backbone.key / "vectors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    features = store.features(tiny_backbone, numbered(6))
    assert len(counted) == 7
    assert_right(features, tiny_backbone, numbered(6))
    assert store.verify() == {tiny_backbone.key: 1}
    assert store.verify() == {tiny_backbone.key: 0}


@pytest.mark.parametrize("name", ["vectors", "index"])
def test_a_file_cut_short_is_mended(store, tiny_backbone, name):
    store.features(tiny_backbone, numbered(6))
    path = store.root / tiny_backbone.key / name
    os.truncate(path, path.stat().st_size * 2 // 3 + 1)
    features = store.features(tiny_backbone, numbered(6))
    assert_right(features, tiny_backbone, numbered(6))
    assert_right(store.features(tiny_backbone, numbered(9)), tiny_backbone, numbered(9))


def test_a_killed_extraction_goes_on_where_it_was(store, tiny_backbone, counted):
    process = in_process(tiny_backbone, store.root, 4000)
    index = store.root / tiny_backbone.key / "index"
    deadline = time.monotonic() + 120
    while not (index.exists() and index.stat().st_size > 1000 * 32):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    features = store.features(tiny_backbone, numbered(4000))
    assert 0 < len(counted) <= 3000
    assert_right([features[0], features[3999]], tiny_backbone, [numbered(1)[0], numbered(4000)[-1]])


def test_two_processes_share_a_store(store, tiny_backbone, counted):
    processes = [in_process(tiny_backbone, store.root, 600) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    assert_right(store.features(tiny_backbone, numbered(600)), tiny_backbone, numbered(600))
    assert not counted[600:], "something was missing"
    (report,) = store.list()
    assert report.sentences == 600
    assert report.words == 600 * 5


class Group:
    """A stand-in for one of several processes that wait for each other."""

    def __init__(self, index, barrier):
        self.process_index, self.num_processes = index, barrier.parties
        self.wait_for_everyone = barrier.wait


def test_processes_of_a_run_share_the_work(store, model_folder, settings_of, counted):
    barrier = threading.Barrier(3, timeout=120)

    def features(index):
        backbone = Backbone(settings_of(model_folder))
        return FeatureStore(store.root, Group(index, barrier)).features(backbone, numbered(20))

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(features, range(3)))
    assert sorted(counted) == sorted(sentence.text for sentence in numbered(20))
    for one in found:
        assert_right(one, Backbone(settings_of(model_folder)), numbered(20))
    (report,) = store.list()
    assert (report.sentences, report.words) == (20, 100)
    assert not list(store.root.rglob("part-*"))


def test_what_a_killed_process_of_a_run_left_is_taken_up(store, tiny_backbone, counted):
    store.features(tiny_backbone, numbered(2))
    whole = shelf.Shelf.open(store.root / tiny_backbone.key)
    with whole.part(1).appending() as append:
        for index, vectors in tiny_backbone.embed(numbered(5)):
            append(shelf.digest_of(numbered(5)[index]), vectors)
    counted.clear()
    assert_right(store.features(tiny_backbone, numbered(6)), tiny_backbone, numbered(6))
    assert counted[0] == "the number 5 of many"
    (report,) = store.list()
    assert (report.sentences, report.words) == (6, 30)


def test_it_refuses_when_the_disk_is_too_small(store, tiny_backbone, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shelf.shutil, "disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(StoreError, match="make room"):
        store.features(tiny_backbone, numbered(3))


def test_it_says_its_size_before_it_starts(store, tiny_backbone, capsys):
    store.features(tiny_backbone, numbered(3))
    assert "15 words x 2 layers x 32 x 2 bytes = 1.9 KiB" in capsys.readouterr().err


def test_it_cannot_be_where_a_file_is(tmp_path, tiny_backbone):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        FeatureStore(tmp_path / "file").features(tiny_backbone, numbered(1))


def test_list_and_clear(store, model_folder, settings_of):
    for repeat in (0, 1):
        store.features(Backbone(settings_of(model_folder, repeat=repeat)), numbered(2))
    first, second = store.list()
    assert {first.repeat, second.repeat} == {0, 1}
    assert store.clear(first.key[:8]) > 0
    assert [report.key for report in store.list()] == [second.key]
    for key in ("xyz", ""):
        with pytest.raises(StoreError, match="no features with a key"):
            store.clear(key)
    (store.root / "foreign").mkdir()
    (store.root / "foreign" / "about.json").write_text("{}")
    store.clear()
    assert store.list() == []
    assert (store.root / "foreign").is_dir()


def test_who_has_begun_to_read_keeps_what_was_there(store, tiny_backbone, monkeypatch):
    sentences, find = numbered(8), shelf.Shelf.find
    expected = list(store.features(tiny_backbone, sentences))

    def cleared_meanwhile(self, digests):
        found = find(self, digests)
        monkeypatch.setattr(shelf.Shelf, "find", find)
        store.clear()
        store.features(tiny_backbone, numbered(20)[10:])
        return found

    monkeypatch.setattr(shelf.Shelf, "find", cleared_meanwhile)
    for vectors, whole in zip(store.features(tiny_backbone, sentences), expected, strict=True):
        np.testing.assert_array_equal(vectors, whole)


def test_features_may_be_cleared_while_another_process_waits_to_add(store, tiny_backbone):
    store.features(tiny_backbone, numbered(2))
    folder = store.root / tiny_backbone.key
    with ThreadPoolExecutor(1) as pool:
        with FileLock(folder.with_suffix(".lock")):
            waiting = pool.submit(store.features, tiny_backbone, numbered(4))
            time.sleep(0.3)
            shutil.rmtree(folder)
        assert len(waiting.result()) == 4


def test_vectors_that_are_not_finite_are_not_stored(store, tmp_path, model_folder, settings_of):
    folder = shutil.copytree(model_folder, tmp_path / "hot")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    backbone = Backbone(settings_of(folder))
    (the,) = {int(subwords.ids[0]) for subwords in backbone.tokenizer([" number"])}
    weights["embed_tokens.weight"][the] = 3e38
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    backbone = Backbone(settings_of(folder))
    with pytest.raises(BackboneError, match="too large for its precision"):
        store.features(backbone, numbered(3))
    assert not (store.root / backbone.key / "index").read_bytes()


def test_an_unreadable_description_is_named(store, tiny_backbone):
    store.features(tiny_backbone, numbered(1))
    (store.root / tiny_backbone.key / "about.json").write_text("{")
    with pytest.raises(StoreError, match=r"about\.json"):
        store.list()


def test_the_description_is_readable(store, tiny_backbone):
    store.features(tiny_backbone, numbered(1))
    about = json.loads((store.root / tiny_backbone.key / "about.json").read_text())
    assert about["layers"] == [1, 3]
    assert about["fingerprint"] == tiny_backbone.fingerprint
