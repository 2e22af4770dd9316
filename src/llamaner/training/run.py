"""A training run: from a configuration to a tagger on disk."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DataLoaderConfiguration, set_seed
from filelock import FileLock, Timeout
from torch import Tensor, nn

from llamaner import __version__
from llamaner.backbone import FeatureStore, Vectors
from llamaner.backbone.blocks import choose_precision
from llamaner.backbone.kernel_caches import bound_kernel_caches
from llamaner.backbone.quiet import quiet_bitsandbytes
from llamaner.configuration import TrainingConfiguration
from llamaner.corpus import CorpusSize, Document, corpus_name, corpus_size
from llamaner.corpus.casing import recased_copies
from llamaner.errors import CheckpointError, ConfigurationError
from llamaner.evaluation import (
    Evaluation,
    Scores,
    TaggedData,
    evaluate_predictions,
    predict,
    strict_scores,
)
from llamaner.evaluation.report import HELD_OUT
from llamaner.tagger import NerTagger
from llamaner.terminal import Bar, console, progress_bar
from llamaner.training.adaptation import AdaptedExamples
from llamaner.training.averaging import WeightAverage
from llamaner.training.checkpoints import (
    RunState,
    begun_with,
    is_run,
    last_checkpoint,
    read_random_states,
    require_same,
    save_checkpoint,
    save_configuration,
)
from llamaner.training.data import (
    copies_read_alone,
    data_digest,
    read_documents,
    sentences_of,
    tell_labels_never_found,
)
from llamaner.training.examples import Examples, StoredExamples
from llamaner.training.metrics import MetricsLog
from llamaner.training.processes import agreed, averaged, join_processes, share_of
from llamaner.training.reporting import report_best_epoch
from llamaner.training.starting import first_tagger, settings_to_go_on_with, with_spacing

DEFAULT_EPOCHS = 8
DEFAULT_STEPS = 500


@dataclass(frozen=True)
class TrainingResult:
    """A finished run: the tagger of the best epoch and its evaluation on the dev documents."""

    tagger: NerTagger
    evaluation: Evaluation
    best_epoch: int
    history: list[dict[str, Any]]


def train(
    configuration: TrainingConfiguration, *, resume: bool = False, overwrite: bool = False
) -> TrainingResult:
    """Train a tagger, save the best epoch's in ``configuration.output`` and give it back.

    With ``resume`` a run that was stopped goes on after its last whole epoch, to the result that
    it would have had; what ``configuration`` does not name is as the run began. Raises
    ``ConfigurationError`` where the output folder holds a tagger and neither ``resume`` nor
    ``overwrite`` is set, and ``CheckpointError`` where a run cannot be resumed.
    """
    if resume:
        configuration = begun_with(configuration)
    bound_kernel_caches(learns=True)
    processes = join_processes(configuration.backbone.device)
    first = processes.is_main_process
    if not resume and configuration.adapt == "none" and "lora" in configuration.model_fields_set:
        console.print("note: the settings of lora have no effect without --adapt lora")
    if first and not resume:
        _require_free(configuration.output, overwrite=overwrite)
    original, dev_documents = read_documents(configuration)
    documents = [*original, *recased_copies(original, configuration.recased)]
    set_seed(configuration.seed)
    settled = with_spacing(settings_to_go_on_with(configuration), original)
    tagger = first_tagger(settled, sentences_of(documents))
    tell_labels_never_found(dev_documents, tagger.labels)
    if tagger.backbone.reading.context:
        documents += copies_read_alone(original, configuration.alone)
    with _locked(configuration.output) if first else nullcontext():
        if first and not resume:
            _require_free(configuration.output, overwrite=overwrite)
        store = FeatureStore(configuration.store, processes)
        examples = _examples(settled, tagger, store, documents, dev_documents)
        if first and not resume:
            _begin(configuration)
        processes.wait_for_everyone()
        data = data_digest(tagger.backbone.key, documents, dev_documents)
        size, state = corpus_size(original), RunState(data=data, processes=processes.num_processes)
        run = _Run(settled, tagger, examples, documents, size, dev_documents, state)
        if resume:
            run.resume()
        return run.to_the_end()


class _Run:
    """The state of a run and one method a step of it."""

    def __init__(
        self,
        configuration: TrainingConfiguration,
        tagger: NerTagger,
        examples: Examples,
        documents: Sequence[Document],
        size: CorpusSize,
        dev_documents: Sequence[Document],
        state: RunState,
    ) -> None:
        self.configuration = configuration
        self.folder = configuration.output / "training"
        self.sentences, self.size = sentences_of(documents), size
        self.dev_documents = dev_documents
        self.dev_sentences = sentences_of(dev_documents)
        self.tagger, self.examples, self.state = tagger, examples, state
        self.steps = examples.steps(configuration.batch_size)
        self.epochs = configuration.epochs or max(
            DEFAULT_EPOCHS, math.ceil(DEFAULT_STEPS / self.steps)
        )
        self._prepare()

    def resume(self) -> None:
        """Go on after the last whole epoch of the run in the folder."""
        found = last_checkpoint(self.folder)
        if found is None:
            console.print("no epoch was finished yet: the run starts at the beginning")
            return
        path, state = found
        require_same(state, self.state)
        try:
            # Which accelerate would do without, and say so in its log alone.
            read_random_states(path, self.processes.process_index)
            self.accelerator.load_state(str(path))
        except Exception as error:
            # Whatever torch, safetensors or accelerate stumble over in a damaged file.
            reason = str(error).partition("\n")[0]
            raise CheckpointError(f"{path}: damaged ({reason}); start anew") from error
        self.state = state
        console.print(f"going on after epoch {state.epoch}")

    def to_the_end(self) -> TrainingResult:
        """Train until the last epoch, or until patience is at its end."""
        state = self.state
        log = MetricsLog(self.folder, state.history) if self.processes.is_main_process else None
        total = self.steps * (self.epochs - state.epoch)
        with progress_bar("training (steps)", total) as bar:
            while state.epoch < self.epochs and not self._out_of_patience():
                row = self._epoch(bar)
                if log is not None:
                    log.epoch(row)
                _tell(row, self.epochs, best=row["epoch"] == state.best_epoch)
                save_checkpoint(self.folder, self.accelerator, state)
        if log is not None:
            log.close()
        return self._result()

    def _prepare(self) -> None:
        quiet_bitsandbytes()  # which the schedule's module imports
        from transformers import get_cosine_schedule_with_warmup

        configuration, device = self.configuration, self.tagger.backbone.device
        self.processes = PartialState()
        self.accelerator = Accelerator(
            cpu=device.type == "cpu",
            device_placement=False,
            # A step is a step of the whole batch, however many processes share it.
            dataloader_config=DataLoaderConfiguration(split_batches=True),
        )
        network = self.tagger.network.to(device)
        native = choose_precision("auto", device) == "bfloat16"
        mixed = configuration.mixed_precision and native
        self.precision = torch.bfloat16 if mixed else torch.float32
        rates = {"weight_decay": configuration.weight_decay, "lr": configuration.learning_rate}
        groups: list[dict[str, Any]] = [{"params": list(network.parameters()), **rates}]
        if len(self.examples.updates):
            rates = {"weight_decay": 0.0, "lr": configuration.lora.learning_rate}
            groups.append({"params": list(self.examples.updates), **rates})
        optimizer = torch.optim.AdamW(groups, fused=True)
        steps = self.epochs * self.steps
        schedule = get_cosine_schedule_with_warmup(
            optimizer, round(steps * configuration.warmup), steps
        )
        trained = nn.ModuleDict({"network": network, "updates": self.examples.updates})
        # Unwrapped: the processes add their gradients up themselves (`averaged`).
        self.trained = self.accelerator.prepare_model(trained, evaluation_mode=True)
        self.optimizer, self.schedule = self.accelerator.prepare(optimizer, schedule)
        if rank := self.processes.process_index:
            # What dropout leaves out differs between the parts of a batch.
            torch.manual_seed(configuration.seed + rank)
        self.average: WeightAverage | None = None
        if configuration.weight_averaging:
            average = WeightAverage(trained, configuration.weight_averaging)
            self.average = self.accelerator.prepare_model(average, evaluation_mode=True)

    def _epoch(self, bar: Bar) -> dict[str, Any]:
        """Train for one epoch and evaluate; the row of metrics."""
        state, started = self.state, time.monotonic()
        state.epoch += 1
        loss = self._train_epoch(bar)
        trained = time.monotonic()
        with self.average.applied() if self.average else nullcontext():
            return self._judged(loss, started, trained)

    def _judged(self, loss: float, started: float, trained: float) -> dict[str, Any]:
        """The row of metrics; the tagger is saved if it is the best so far."""
        state, scores = self.state, self._dev_scores()
        f1 = agreed(scores.overall.f1, self.processes)
        row = {
            "epoch": state.epoch,
            "loss": loss,
            "dev_f1": f1,
            "dev_precision": scores.overall.precision,
            "dev_recall": scores.overall.recall,
            "dev_f1_of": {label: score.f1 for label, score in scores.labels.items()},
            "learning_rate": self.schedule.get_last_lr()[0],
            "train_seconds": round(trained - started, 3),
            "dev_seconds": round(time.monotonic() - trained, 3),
        }
        state.history.append(row)
        if f1 > state.best_f1:
            state.best_f1, state.best_epoch = f1, state.epoch
            if self.processes.is_main_process:
                self._save_tagger()
        return row

    def _train_epoch(self, bar: Bar) -> float:
        """The mean loss of an epoch's steps."""
        self.tagger.network.train()
        size, seed = self.configuration.batch_size, self.configuration.seed
        batches = self.examples.batches(size, seed, self.state.epoch)
        total = 0.0
        for number, indices in enumerate(batches, 1):
            total += self._step(indices)
            bar.advance()
            bar.note(f"loss {total / number:.3f}  best dev F1 {max(0.0, self.state.best_f1):.4f}")
        return total / len(batches)

    def _step(self, indices: Sequence[int]) -> float:
        loss = self._gradient(indices)
        for part in (self.tagger.network, self.examples.updates):
            self.accelerator.clip_grad_norm_(part.parameters(), self.configuration.gradient_clip)
        self.optimizer.step()
        if self.average:
            self.average.update()
        self.schedule.step()
        self.optimizer.zero_grad()
        value = loss.item()
        if not math.isfinite(value):
            raise ConfigurationError(
                f"the loss became {value} in epoch {self.state.epoch}; choose a lower learning rate"
            )
        return value

    def _gradient(self, indices: Sequence[int]) -> Tensor:
        """The mean loss of a batch; its gradient is in the parameters."""
        share = share_of(indices, self.processes)
        # Where there are more processes than sentences, some compute one that does not count.
        batch, tags = self.examples.load(share or indices[:1])
        loss = self.tagger.network.loss(batch, tags, self.precision)
        if self.processes.num_processes == 1:
            self.accelerator.backward(loss)
            return loss
        count = len(batch.lengths) if share else 0
        self.accelerator.backward(loss * count)
        return averaged(self.trained.parameters(), loss * count, count)

    def _dev_scores(self) -> Scores:
        """The scores on the dev data, in the first process only."""
        if not self.processes.is_main_process:
            return strict_scores([], [])
        tagged = self.tagger.tag_features(self.dev_sentences, self.examples.dev_vectors())
        gold = [sentence.tags() for sentence in self.dev_sentences]
        return strict_scores(gold, [sentence.tags() for sentence in tagged])

    def _out_of_patience(self) -> bool:
        warm = math.ceil(self.epochs * self.configuration.warmup)
        best = max(self.state.best_epoch, warm)
        return self.state.epoch - best >= self.configuration.patience

    def _save_tagger(self) -> None:
        configuration, state = self.configuration, self.state
        about = {
            "llamaner": __version__,
            "train": corpus_name(configuration.train or ""),
            "dev": configuration.dev and corpus_name(configuration.dev),
            "preset": configuration.preset,
            "seed": configuration.seed,
            "epoch": state.epoch,
            "dev_f1": state.best_f1,
            "train_size": self.size.to_dict(),
            "settings": configuration.recipe(),
        }
        self.tagger.config = self.tagger.config.model_copy(update={"training": about})
        self.tagger.adapter = self.examples.adapter()
        self.tagger.save_pretrained(configuration.output)

    def _result(self) -> TrainingResult:
        tagger = NerTagger.from_pretrained(self.configuration.output)
        gold = TaggedData.of(self.configuration.dev or HELD_OUT, self.dev_documents)
        found = predict(tagger, str(self.configuration.output), gold, self._saved_vectors(tagger))
        if self.processes.is_main_process:
            report = report_best_epoch(self.configuration, gold, found, tagger, self.sentences)
            evaluation = report.evaluation
        else:
            evaluation = evaluate_predictions(found)
        return TrainingResult(tagger, evaluation, self.state.best_epoch, self.state.history)

    def _saved_vectors(self, tagger: NerTagger) -> Sequence[Vectors]:
        """The vectors of the dev sentences as the saved tagger's backbone makes them."""
        if self.configuration.adapt == "none":
            return self.examples.dev_vectors()
        found = dict(tagger.backbone.embed_sentences(self.dev_documents))
        none = np.zeros((0, len(tagger.backbone.layers), tagger.backbone.width), dtype=np.float16)
        return [found.get(index, none) for index in range(len(self.dev_sentences))]


def _require_free(output: Path, *, overwrite: bool) -> None:
    """Raise ``ConfigurationError`` where a new run would replace what nobody said to replace."""
    folder = output / "training"
    if folder.exists() and not is_run(folder):
        raise ConfigurationError(
            f"{folder}: is in the way, and not the folder of a run; choose another --output"
        )
    if not overwrite and (folder.exists() or (output / "config.json").exists()):
        raise ConfigurationError(
            f"{output}: holds a tagger or a run already; choose another --output, go on with "
            "--resume, or start anew with --overwrite"
        )


def _begin(configuration: TrainingConfiguration) -> None:
    """Make the folder of a new run."""
    folder = configuration.output / "training"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        save_configuration(folder, configuration)
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be made ({error.strerror})") from None


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Nobody else trains into ``output`` meanwhile."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = FileLock(output / ".training.lock").acquire(timeout=0)
    except Timeout:
        raise ConfigurationError(f"{output}: another process is training into it") from None
    except OSError as error:
        raise ConfigurationError(f"{output}: cannot be written ({error.strerror})") from None
    with lock:
        yield


def _examples(
    configuration: TrainingConfiguration,
    tagger: NerTagger,
    store: FeatureStore,
    documents: Sequence[Document],
    dev_documents: Sequence[Document],
) -> Examples:
    if configuration.adapt == "none":
        return StoredExamples(tagger, store, documents, dev_documents)
    console.print(
        "adapt = lora: the upper blocks change in each step, so features cannot be stored; the "
        "states below them are"
    )
    settings, start = configuration.lora, tagger.adapter
    return AdaptedExamples(tagger, store, documents, dev_documents, settings, start)


def _tell(row: dict[str, Any], epochs: int, *, best: bool) -> None:
    seconds = row["train_seconds"] + row["dev_seconds"]
    console.print(
        f"epoch {row['epoch']:>2}/{epochs}  loss {row['loss']:.4f}  dev F1 {row['dev_f1']:.4f}"
        f"{' (best)' if best else '       '}  {seconds:.0f} s",
    )
