"""The command line: one thin command a capability.

Exit codes: 0 done, 1 done and something was found amiss (``check``, ``store verify``), 2 bad input
or usage, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

os.environ.setdefault("PYDANTIC_ERRORS_INCLUDE_URL", "0")

from cyclopts import App, CycloptsPanel, Parameter
from cyclopts.exceptions import CycloptsError
from pydantic import ValidationError

from llamaner import __version__
from llamaner.commands.evaluation import card, compare, evaluate
from llamaner.commands.store import store
from llamaner.configuration import (
    BackboneSettings,
    Precision,
    ServiceSettings,
    TrainingConfiguration,
    faults_of,
    read_configuration,
)
from llamaner.errors import ConfigurationError, LlamanerError
from llamaner.terminal import console

if TYPE_CHECKING:
    from rich.panel import Panel

    from llamaner.tagger import NerTagger


def _told(error: CycloptsError) -> Panel:
    fault = error.__cause__
    if isinstance(fault, ValidationError):
        return CycloptsPanel("\n".join(faults_of(fault, flags=True)))
    return CycloptsPanel(error)


app = App(
    name="llamaner",
    version=__version__,
    help="Named-entity recognition with a BiLSTM-CRF on LLaMA embeddings.",
    help_format="markdown",
    suppress_keyboard_interrupt=False,
    error_formatter=_told,
)
app.command(store)
for command in (evaluate, compare, card):
    app.command(command)

OutputFormat = Literal["auto", "text", "jsonl", "conll"]
Files = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]


@app.command
def check(
    files: Annotated[list[str], Parameter(negative="")],
    /,
    *,
    word_column: int = 0,
    tag_column: int = -1,
    subwords: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Read corpus files and report sizes, labels, duplicates and suspicious tags.

    Example: `llamaner check train.conll dev.conll`

    Exits with 1 where something looks suspicious, with 2 where a file cannot be read.

    Parameters
    ----------
    files
        CoNLL or JSONL files, dataset folders, or hf:org/name:split.
    word_column
        Column of the words in CoNLL files.
    tag_column
        Column of the tags in CoNLL files.
    subwords
        Measure the longest sentences in subwords of the default backbone.
    as_json
        Print JSON.

    """
    from llamaner.corpus import check_corpus
    from llamaner.reports import print_corpus_report, print_json

    counter = None
    if subwords:
        from llamaner.backbone import Backbone

        counter = Backbone().count_subwords
    report = check_corpus(
        files, word_column=word_column, tag_column=tag_column, count_subwords=counter
    )
    if as_json:
        print_json(report.to_dict())
    else:
        print_corpus_report(report)
    amiss = any(file.ill_formed_count or file.crossing_count for file in report.files)
    return 1 if amiss or report.overlaps or report.case_variants else 0


@app.command
def plan(
    *,
    data: Files = None,
    config: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    settings: Annotated[BackboneSettings, Parameter(name="*")] = BackboneSettings(),  # noqa: B008
) -> int:
    """Tell what a backbone will take of memory and disk, before it is downloaded or loaded.

    Example: `llamaner plan --model meta-llama/Llama-3.1-8B --data train.conll`

    Of a hub model, only config.json is fetched.

    Parameters
    ----------
    data
        Corpora whose words are counted for the feature store; by default those of --config.
    config
        TOML file as for `llamaner train`; flags come on top of it.
    as_json
        Print JSON, sizes in bytes.

    """
    from llamaner.backbone import plan_memory
    from llamaner.corpus import read_corpus
    from llamaner.reports import print_json, print_plan

    overrides = {"backbone": settings.model_dump(exclude_unset=True)}
    configuration = read_configuration(config, overrides)
    names = data or [name for name in (configuration.train, configuration.dev) if name]
    word, tag = configuration.word_column, configuration.tag_column
    corpora = [read_corpus(name, word_column=word, tag_column=tag) for name in names]
    sentences = [sentence for corpus in corpora for sentence in corpus.sentences]
    found = plan_memory(
        configuration.backbone, words=sum(map(len, sentences)), sentences=len(sentences)
    )
    if as_json:
        print_json(found.to_dict())
    else:
        print_plan(found)
    return 0


@app.command
def train(
    *,
    config: Path | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    settings: Annotated[TrainingConfiguration, Parameter(name="*")] = TrainingConfiguration(),  # noqa: B008
) -> int:
    """Train a tagger on an annotated corpus.

    Example: `llamaner train --train train.conll --dev dev.conll --output my-tagger`

    Features are computed once and stored; training again, with another head or another seed,
    takes them from the store.

    Parameters
    ----------
    config
        TOML file with the settings below, those of the backbone under [backbone], those of the
        network under [head]. Flags come on top of it.
    resume
        Go on with the run in --output that was stopped, with the settings it began with.
    overwrite
        Replace the tagger in --output.
    as_json
        Print the scores as JSON.

    """
    from llamaner.reports import output, print_evaluation, print_json
    from llamaner.training import is_first_process, is_run
    from llamaner.training import train as run

    if resume and overwrite:
        raise ConfigurationError("--resume goes on with a run, --overwrite replaces it: not both")
    configuration = read_configuration(config, settings.explicit())
    try:
        result = run(configuration, resume=resume, overwrite=overwrite)
    except KeyboardInterrupt:
        if is_run(configuration.output / "training"):
            folder = shlex.quote(str(configuration.output))
            console.print(f"go on with: llamaner train --resume --output {folder}")
        else:
            console.print("stored features are not computed again by the same command")
        raise
    if not is_first_process():
        return 0
    if as_json:
        print_json({"best_epoch": result.best_epoch, **result.evaluation.to_dict()})
        return 0
    print_evaluation(result.evaluation)
    output.print(f"the tagger of epoch {result.best_epoch} is in {configuration.output}")
    return 0


@app.command
def tag(
    text: str | None = None,
    /,
    *,
    model: Path | None = None,
    file: Files = None,
    lines: Annotated[bool, Parameter(negative="")] = False,
    format: OutputFormat = "auto",
    min_confidence: float = 0.0,
    backbone: str | None = None,
    device: str | None = None,
    precision: Precision | None = None,
) -> int:
    """Find the entities of a text, of files, or of what comes in on standard input.

    Example: `llamaner tag "Angela Merkel visited Paris."`

    Example: `cat reviews.txt | llamaner tag --model my-tagger --lines > entities.jsonl`

    Parameters
    ----------
    text
        The text; without it and without --file, standard input is read.
    model
        Folder of the tagger; by default the one that comes with the package: persons (PER),
        organisations (ORG), locations (LOC) and others (MISC) in English news.
    file
        Text files; .conll files keep their words, .jsonl files have a "text" a line. Any other
        name is plain text.
    lines
        Each line of text is a text of its own. Results come in parts of some 8,000 words.
    format
        How to print: text with the entities marked, jsonl with offsets, or conll with a word and
        its tag a line. Unless chosen it is text on a terminal, and jsonl elsewhere.
    min_confidence
        Leave out entities whose confidence, from 0 to 1, is below this.
    backbone
        Where the tagger's backbone lies, if not where it was in training.
    device
        Where the backbone runs: cpu, cuda, cuda:1, mps.
    precision
        Arithmetic of the backbone: by default what was set in training, where auto is bfloat16 if
        the machine computes it natively. int8 is faster on CPUs that multiply bytes.

    """
    from llamaner.documents import read_texts, write_documents

    if text is not None and file:
        raise ConfigurationError("give a text or --file, not both")
    if text is not None and len(text) < 256 and os.path.isfile(text):
        raise ConfigurationError(
            f"{text} is a file; to tag what is in it: llamaner tag --file {shlex.quote(text)}"
        )
    if not 0 <= min_confidence <= 1:
        raise ConfigurationError(f"--min-confidence must be from 0 to 1, not {min_confidence}")
    tagger = _load(model, backbone, device, precision)
    documents = read_texts(text, file or (), lines=lines, language=tagger.config.language)
    tagged = tagger.tag_stream(documents, min_confidence=min_confidence)
    write_documents(tagged, _output_format(format))
    return 0


@app.command
def serve(
    model: Path | None = None,
    /,
    *,
    backbone: str | None = None,
    device: str | None = None,
    precision: Precision = "float32",
    settings: Annotated[ServiceSettings, Parameter(name="*")] = ServiceSettings(),  # noqa: B008
) -> int:
    """Answer requests for entities over HTTP, with a page for people.

    Example: `llamaner serve` or `llamaner serve my-tagger --port 8080`

    SIGTERM and Ctrl-C let it finish what it has accepted.

    Parameters
    ----------
    model
        Folder of the tagger; by default the one that comes with the package.
    backbone
        Where the tagger's backbone lies, if not where it was in training.
    device
        Where the backbone runs: cpu, cuda, cuda:1, mps.
    precision
        Arithmetic of the backbone. Only in float32 do entities not depend on which requests are
        tagged together; auto, as in other commands, may be faster.

    """
    try:
        from llamaner.service import serve as run
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"`llamaner serve` needs {error.name}: pip install 'llamaner[serve]'"
        ) from None

    # What is missing or damaged is told at once; the backbone comes when the server listens.
    tagger = _load(model, backbone, device, precision)
    run(lambda: tagger, settings)
    return 0


@app.command
def benchmark(
    model: Path | None = None,
    /,
    *texts: str,
    file: Files = None,
    stdin: Annotated[bool, Parameter(negative="")] = False,
    seconds: float = 20.0,
    backbone: str | None = None,
    device: str | None = None,
    precision: Precision | None = None,
    token_budget: int | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Measure a tagger on this machine: words a second, latency of single sentences, memory.

    Example: `llamaner benchmark` or `llamaner benchmark --file reviews.txt --device cpu`

    Example: `llamaner benchmark my-tagger reviews.txt --json`

    Parameters
    ----------
    model
        Folder of the tagger; by default the one that comes with the package.
    texts
        Files or texts; what has no white space is a file. By default a sample corpus.
    file
        The same as files after MODEL, for when no MODEL is named.
    stdin
        Read the text from standard input.
    seconds
        How long to measure, after loading and warm-up: half of it rounds over the text, or over
        as much of it as allows three, half of it single sentences.
    backbone
        Where the tagger's backbone lies, if not where it was in training.
    device
        Where the backbone runs: cpu, cuda, cuda:1, mps.
    precision
        Arithmetic of the backbone.
    token_budget
        Subwords in a batch of the backbone.
    as_json
        Print JSON.

    """
    from llamaner.corpus import sample_corpus
    from llamaner.documents import read_arguments, read_texts
    from llamaner.reports import print_json, print_pairs
    from llamaner.tagger import shipped_tagger
    from llamaner.tagger.benchmark import benchmark as run
    from llamaner.tagger.saving import read_tagger

    if bool(texts) + bool(file) + stdin > 1:
        raise ConfigurationError("give texts after MODEL, --file or --stdin, only one of them")
    if model is not None and model.is_file():
        raise ConfigurationError(
            f"{model}: a file, and the folder of a tagger is needed here; for a text without "
            f"naming a tagger: llamaner benchmark --file {shlex.quote(str(model))}"
        )
    folder = model or shipped_tagger()
    language = read_tagger(folder)[0].language
    if texts:
        documents = list(read_arguments(texts, language=language))
    elif file or stdin:
        documents = list(read_texts(None, file or (), lines=False, language=language))
    else:
        documents = list(sample_corpus("test").documents)
    given = {
        "model": backbone,
        "device": device,
        "precision": precision,
        "token_budget": token_budget,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    found = run(folder, documents, seconds=seconds, **settings).to_dict()
    if as_json:
        print_json(found)
    else:
        known = {name: value for name, value in found.items() if value is not None}
        print_pairs((name.replace("_", " "), _rounded(value)) for name, value in known.items())
    return 0


@app.command
def info(
    model: Path | None = None,
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Describe a tagger, or this installation.

    Example: `llamaner info my-tagger`

    Parameters
    ----------
    model
        Folder of a tagger; without it, versions, device and folders are shown.
    as_json
        Print JSON.

    """
    from llamaner.description import describe_installation, describe_tagger
    from llamaner.reports import print_json, print_pairs

    description = describe_installation() if model is None else describe_tagger(model)
    if as_json:
        print_json(description)
    else:
        print_pairs(description.items())
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code; what the user can mend is told without a traceback."""
    # Results are UTF-8 wherever they go, also into a Windows pipe.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        code = app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except CycloptsError:
        sys.exit(2)
    except LlamanerError as error:
        console.print("error:", style="bold red", end=" ")
        console.print(str(error))
        sys.exit(2)
    except BrokenPipeError:
        # Whoever read the output has enough of it, as `head` has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        # A path that is too long, a folder that may not be read, a disk that is full.
        place = f"{error.filename}: " if error.filename else ""
        console.print("error:", style="bold red", end=" ")
        console.print(f"{place}{error.strerror or error}")
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("interrupted; what was finished is kept")
        sys.exit(130)


def _load(
    model: Path | None,
    backbone: str | None,
    device: str | None,
    precision: Precision | None = None,
) -> NerTagger:
    from llamaner.tagger import NerTagger, shipped_tagger

    given = {"model": backbone, "device": device, "precision": precision}
    return NerTagger.from_pretrained(
        model or shipped_tagger(),
        **{name: value for name, value in given.items() if value is not None},
    )


def _rounded(value: object) -> object:
    if isinstance(value, tuple):
        return " to ".join(str(_rounded(part)) for part in value)
    if isinstance(value, int):
        return f"{value:,}"
    # Shares and seconds need their digits, speeds and memory do not.
    return f"{value:,.2f}" if isinstance(value, float) else value


def _output_format(chosen: OutputFormat) -> Literal["text", "jsonl", "conll"]:
    if chosen != "auto":
        return chosen
    return "text" if sys.stdout.isatty() else "jsonl"


if __name__ == "__main__":
    main()
