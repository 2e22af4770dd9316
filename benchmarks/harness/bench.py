"""What the parts of a run have in common: its options, its data, and rounds in turns."""

import argparse
import itertools
import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.processes import FOLDER, OURS, Contender, ContenderError, Worker, run_script, say
from llamaner.backbone.source import find_model
from llamaner.backbone.unpacking import unpacked_gguf
from llamaner.corpus import Corpus, Document, Sentence, read_corpus, write_conll

PEERS = "transformers"
"""The environment of Transformers, ONNX Runtime and pytorch-crf."""


class Bench:
    """One run of the harness; ``folder`` holds what it makes and goes away after it."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.train, self.dev = read_corpus(options.train), read_corpus(options.dev)
        self.labels = list(self.train.labels)
        self._models: dict[str, str] = {}

    @cached_property
    def backbone(self) -> str:
        """The backbone's folder, in a form that older releases of Transformers read as well."""
        source = find_model(self.options.backbone)
        found = unpacked_gguf(source.path, source.fingerprint()) if source.is_gguf else source.path
        folder = self.folder / "backbone"
        folder.mkdir()
        for file in found.resolve().iterdir():
            (folder / file.name).symlink_to(file)
        settings = folder / "tokenizer_config.json"
        values = json.loads(settings.read_text())
        if values.get("tokenizer_class") == "TokenizersBackend":
            settings.unlink()
            values["tokenizer_class"] = "PreTrainedTokenizerFast"
            settings.write_text(json.dumps(values))
        return str(folder)

    @cached_property
    def sentences(self) -> Corpus:
        """What is tagged: dev documents, as many as hold the sentences asked for."""
        return Corpus(tuple(first_sentences(self.dev.documents, self.options.sentences)))

    @cached_property
    def sentence(self) -> str:
        """A sentence of 20 words, or the first 20 words of a longer one."""
        long = [s.words for s in self.dev.sentences if len(s) >= 20]
        words = min(long, key=len) if long else [w for s in self.dev.sentences for w in s.words]
        return " ".join(words[:20])

    def jsonl(self, name: str, documents: Iterable[Document]) -> str:
        """A file of documents as the workers read them."""
        path = self.folder / f"{name}.jsonl"
        if not path.exists():
            with path.open("w", encoding="utf-8") as file:
                for document in documents:
                    row = [(s.words, s.tags()) for s in document.sentences if len(s)]
                    file.write(json.dumps(row) + "\n")
        return str(path)

    def conll(self, name: str, documents: Iterable[Document]) -> str:
        """A file of documents as ``llamaner train`` reads them."""
        path = self.folder / f"{name}.conll"
        write_conll(Corpus(tuple(documents), "BIO"), path)
        return str(path)

    def bert(self, size: str) -> str:
        """The folder of a BERT with random weights; the base one as ONNX, too, also in int8."""
        if size not in self._models:
            say(f"making BERT-{size}")
            folder, data = self.folder / f"bert-{size}", self.jsonl("train", self.train.documents)
            flags = ["--onnx"] if size == "base" else []
            run_script(PEERS, self.options.threads, "bert.py", size, folder, data, *flags)
            self._models[size] = str(folder)
        return self._models[size]

    def ours(self, preset: str, **options: Any) -> Callable[[], Contender]:
        """LlamaNER with a preset's settings, or the trained tagger given for it."""
        model = dict(self.options.model).get(preset)
        data = self.jsonl("sentences", self.sentences.documents)
        given = {"preset": preset, "data": data, "labels": self.labels, "sentence": self.sentence}
        given |= {"model": model} if model else {"backbone": self.options.backbone}
        return lambda: Contender("ours.py", OURS, {**given, **options})

    def pipeline(self, size: str, **options: Any) -> Callable[[], Contender]:
        """Transformers' pipeline with a BERT of a size."""
        data = self.jsonl("sentences", self.sentences.documents)
        given = {"data": data, "sentence": self.sentence, **options}
        return lambda: Contender("pipeline.py", PEERS, {"model": self.bert(size), **given})

    def onnx(self, file: str) -> Callable[[], Contender]:
        """BERT-base in ONNX Runtime."""
        data = self.jsonl("sentences", self.sentences.documents)
        given = {"data": data, "sentence": self.sentence, "file": file}
        return lambda: Contender("onnx_bert.py", PEERS, {"model": self.bert("base"), **given})

    def start(self, name: str, contender: Contender) -> Worker:
        """A running worker; nothing is prepared yet."""
        return Worker(name, contender, self.options.threads, self.options.timeout)

    def run(self, contenders: dict[str, Callable[[], Contender]]) -> "Rounds":
        """Prepare the contenders that ``--only`` names, or all."""
        return Rounds(self, {n: c for n, c in contenders.items() if self.wants(n)})

    def wants(self, name: str) -> bool:
        """Whether a contender takes part."""
        return not self.options.only or any(part in name for part in self.options.only)


class Rounds:
    """Contenders that take turns. One that fails is told of, and the others go on."""

    def __init__(self, bench: Bench, contenders: dict[str, Callable[[], Contender]]) -> None:
        self.bench = bench
        self.results: dict[str, dict[str, Any]] = {}
        self._workers: dict[str, Worker] = {}
        for name, contender in contenders.items():
            self.add(name, contender)

    def __enter__(self) -> "Rounds":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def add(self, name: str, contender: Callable[[], Contender]) -> None:
        """Start one more contender and prepare it."""
        say(f"  preparing {name}")
        self.results[name] = {}
        try:
            made = contender()
            self._workers[name] = self.bench.start(name, made)
            self.results[name]["about"] = self._workers[name].ask("prepare", **made.options)
        except ContenderError as error:
            self._fail(name, error)

    def take_turns(
        self,
        command: str,
        rounds: int,
        *,
        warm_up: int = 1,
        of: dict[str, dict] | None = None,
        **arguments: Any,
    ) -> None:
        """Ask all for a round, again and again; the answers' values become lists.

        ``of`` has further arguments for some. The warm-up rounds do not count.
        """
        for number in range(-warm_up, rounds):
            for name in list(self._workers):
                try:
                    given = {**arguments, **(of or {}).get(name, {})}
                    answer = self._workers[name].ask(command, **given)
                except ContenderError as error:
                    self._fail(name, error)
                    continue
                self.results[name]["peak_bytes"] = answer.pop("peak_bytes")
                if number >= 0:
                    for key, value in answer.items():
                        self.results[name].setdefault(key, []).append(value)
                turn = f"round {number + 1}/{rounds}" if number >= 0 else "warm-up"
                say(f"  {turn}: {name} {answer['seconds']:.3f} s")

    def ask(self, name: str, command: str, **arguments: Any) -> None:
        """Ask one of them, before the rounds; the answer is kept under the command's name."""
        try:
            self.results[name][command] = self._workers[name].ask(command, **arguments)
        except ContenderError as error:
            self._fail(name, error)

    def _fail(self, name: str, error: ContenderError) -> None:
        say(f"  {name} is out: {error}")
        self.results[name] = {"error": str(error)}
        if worker := self._workers.pop(name, None):
            worker.close()


def first_sentences(documents: Iterable[Document], count: int) -> Iterator[Document]:
    """The first documents with so many sentences; the last one is cut off there."""
    for document in documents:
        part = [s for s in document.sentences if len(s)][:count]
        if part:
            yield Document.from_sentences(part)
        count -= len(part)
        if count <= 0:
            return


def distinct_documents(documents: list[Document], words: int) -> Iterator[Document]:
    """Documents with so many words; when all have come, with the words in another order."""
    for copy in itertools.count():
        for number, document in enumerate(documents):
            rng, sentences = random.Random(f"{copy} {number}"), []
            for sentence in document.sentences:
                given = list(sentence.words[:words])
                words -= len(given)
                if given:
                    sentences.append(
                        Sentence.from_words(rng.sample(given, len(given)) if copy else given)
                    )
            yield Document.from_sentences(sentences)
            if words <= 0:
                return


def remove(path: str) -> None:
    """A folder that an earlier run of the same kind left."""
    shutil.rmtree(path, ignore_errors=True)


__all__ = ["FOLDER", "PEERS", "Bench", "Rounds", "distinct_documents", "first_sentences", "remove"]
