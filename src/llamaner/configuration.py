"""One typed configuration: a TOML file, and a flag for each field.

It lies below all rooms and imports none, so that the command line can describe every setting
without waiting for PyTorch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llamaner.errors import ConfigurationError
from llamaner.locations import from_home
from llamaner.presets import Preset, with_preset

RUN_CONFIGURATION = Path("training", "configuration.json")
"""Where in a tagger's folder its run keeps what it was started with."""

Pooling = Literal["last", "mean", "first"]
Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
Spacing = Literal["auto", "words", "text"]
Quantization = Literal["none", "8bit", "4bit"]
TokenBudget = Annotated[int, Field(ge=64)] | Literal["auto"]
Adaptation = Literal["none", "lora"]
LayerMixing = Literal["sum", "projection"]


class BackboneSettings(BaseModel):
    """How words become vectors; every field but the last two changes the vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[
        str,
        Field(description="'default', a folder, a GGUF file, or a hub id such as org/name."),
    ] = "default"
    revision: Annotated[str | None, Field(description="Branch, tag or commit of a hub model.")] = (
        None
    )
    layers: Annotated[
        tuple[int, ...],
        Parameter(consume_multiple=True, negative=""),
        Field(
            description="Blocks whose outputs are used: 0 is the embedding, 1 the first block, "
            "-1 the last. By default five that are spread over the part of the depth that is read."
        ),
    ] = ()
    depth: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Part of the model that is read, where no layers are given: the blocks "
            "above are not loaded.",
        ),
    ] = 0.87
    pooling: Annotated[Pooling, Field(description="How a word's subwords become one vector.")] = (
        "mean"
    )
    repeat: Annotated[
        int,
        Field(
            ge=0,
            le=4,
            description="Give the sentence so many times more, and read the last copy: "
            "a causal model then sees what follows each word.",
        ),
    ] = 1
    context: Annotated[
        int | None,
        Field(
            ge=0,
            description="Subwords of the same document that each word is read with on either side, "
            "at least, as far as the document has them; by default half the overlap of the "
            "windows. 0 reads each sentence by itself.",
        ),
    ] = None
    spacing: Annotated[
        Spacing,
        Field(
            description="'words' reads one space between words, however many the text has, and a "
            "line break between sentences; 'text' reads what is there. By default as the "
            "training data are: 'words' where they came in columns."
        ),
    ] = "auto"
    attention: Annotated[
        str,
        Field(
            pattern=r"^(causal|bidirectional(:upper|:\d+-\d+(,\d+-\d+)*)?)$",
            description="'causal', 'bidirectional' (every block sees what follows), "
            "'bidirectional:13-26' (these blocks do), or 'bidirectional:upper' (those above two "
            "fifths of the depth, which LoRA adapts unless it is told otherwise).",
        ),
    ] = "causal"
    window: Annotated[
        int | None,
        Field(
            ge=8,
            description="Longer texts are read in windows of so many subwords; by default 512, "
            "or what the model can read.",
        ),
    ] = None
    overlap: Annotated[
        int | None,
        Field(
            ge=0, description="How many subwords neighbouring windows share; by default a quarter."
        ),
    ] = None
    precision: Annotated[
        Precision,
        Field(
            description="Arithmetic of the backbone. 'auto' is bfloat16 where the machine computes "
            "it natively, else float32; 'int8' is faster on CPUs that multiply bytes and lack AMX."
        ),
    ] = "auto"
    quantization: Annotated[
        Quantization,
        Field(
            description="Bits of the blocks' matrices: '8bit' or '4bit' saves memory on CUDA, and "
            "needs bitsandbytes."
        ),
    ] = "none"
    device: Annotated[
        str,
        Field(
            description="'auto', 'cpu', 'cuda', 'cuda:1', 'mps', or 'all': the blocks are spread "
            "over all GPUs."
        ),
    ] = "auto"
    token_budget: Annotated[
        TokenBudget,
        Field(
            description="Subwords in one batch, padding included; 'auto' takes enough for the "
            "device, or what fits the free memory."
        ),
    ] = "auto"


class HeadSettings(BaseModel):
    """The size of the BiLSTM-CRF and how hard it is regularised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer_mix: Annotated[
        LayerMixing,
        Field(
            description="How the layers become one vector: a weighted 'sum', or a learned "
            "'projection' of all of them."
        ),
    ] = "projection"
    lstm_width: Annotated[
        int, Field(ge=1, description="Hidden units of the BiLSTM in each direction.")
    ] = 384
    character_width: Annotated[
        int, Field(ge=0, description="Filters of the character CNN; 0 leaves characters out.")
    ] = 64
    dropout: Annotated[
        float,
        Field(ge=0, lt=1, description="Part of the BiLSTM's inputs and outputs set to 0."),
    ] = 0.5
    word_dropout: Annotated[
        float,
        Field(ge=0, lt=1, description="Part of the words whose backbone vector is set to 0."),
    ] = 0.05


class LoraSettings(BaseModel):
    """How the backbone is adapted: low-rank updates of its weights (Hu et al. 2021)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: Annotated[int, Field(ge=1, description="Rank of the update of each weight.")] = 16
    alpha: Annotated[float, Field(gt=0, description="The update is scaled by alpha / rank.")] = 32.0
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="Part of the update's inputs set to 0.")
    ] = 0.1
    first_block: Annotated[
        int | None,
        Field(
            ge=1,
            description="The first block that is adapted; the states below it are computed once. "
            "By default the one after two fifths of the depth.",
        ),
    ] = None
    learning_rate: Annotated[
        float, Field(gt=0, description="Highest learning rate of the updates.")
    ] = 5e-4
    gradient_checkpointing: Annotated[
        bool | None,
        Field(
            description="Compute the adapted blocks a second time in each step instead of keeping "
            "what they computed: less memory, more time, the same result. By default everywhere "
            "but on a CPU."
        ),
    ] = None


class TrainingConfiguration(BaseModel):
    """What ``llamaner train`` needs to know; only ``train`` has no default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Annotated[
        Preset,
        Field(
            description="Other defaults: 'fast' reads half of the backbone, once, and tags several "
            "times as fast; 'accurate' adapts the backbone, for which a GPU or an hour is needed."
        ),
    ] = "default"

    train: Annotated[
        str | None, Field(description="Corpus to learn from: CoNLL or JSONL file, or dataset.")
    ] = None
    dev: Annotated[
        str | None,
        Field(description="Corpus to choose the best epoch by; else a tenth of the documents."),
    ] = None
    word_column: Annotated[
        int, Field(description="Column of the words in CoNLL files: 0 is the first.")
    ] = 0
    tag_column: Annotated[
        int, Field(description="Column of the tags in CoNLL files: -1 is the last.")
    ] = -1
    output: Annotated[Path, Field(description="Folder for the tagger.")] = Path("tagger")
    store: Annotated[
        Path | None, Field(description="Folder of the feature store; else in the user's cache.")
    ] = None
    language: Annotated[
        str, Field(description="Language of raw text, for splitting it into words (a spaCy code).")
    ] = "en"
    seed: Annotated[int, Field(ge=0, description="Seed of everything random.")] = 0
    epochs: Annotated[
        int | None,
        Field(
            ge=1,
            description="Passes over the corpus at most; by default 8, or enough for 500 steps.",
        ),
    ] = None
    patience: Annotated[
        int,
        Field(
            ge=1,
            description="Stop after so many epochs without a better dev F1, counted from the end "
            "of the warm-up.",
        ),
    ] = 8
    batch_size: Annotated[int, Field(ge=1, description="Sentences a step.")] = 32
    learning_rate: Annotated[float, Field(gt=0, description="Highest learning rate.")] = 1e-3
    warmup: Annotated[
        float, Field(ge=0, lt=1, description="Part of all steps in which the rate rises.")
    ] = 0.1
    weight_decay: Annotated[float, Field(ge=0, description="Of AdamW.")] = 0.01
    gradient_clip: Annotated[float, Field(gt=0, description="Highest norm of the gradient.")] = 5.0
    recased: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of the training documents that are learnt from a second time in "
            "lower case or in capitals, for text that lacks the cues of casing.",
        ),
    ] = 0.0
    weight_averaging: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Decay of the moving average of the weights, which is what is evaluated "
            "and saved; 0 leaves it out.",
        ),
    ] = 0.999
    alone: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of the training documents that are learnt from a second time "
            "sentence by sentence: else a tagger that knows sentences in their documents only is "
            "at a loss with a lone one.",
        ),
    ] = 0.3
    start_from: Annotated[
        Path | None,
        Field(
            description="A tagger to go on from, with its labels, backbone, head and adapter; the "
            "learning rates may have to be lower then."
        ),
    ] = None
    mixed_precision: Annotated[
        bool,
        Field(
            description="Multiply the network's matrices in bfloat16 while it learns, where the "
            "machine computes it natively. Weights, CRF and tagging stay in float32."
        ),
    ] = True
    adapt: Annotated[
        Adaptation,
        Field(
            description="'lora' trains the upper blocks of the backbone together with the head; "
            "features cannot be stored then."
        ),
    ] = "none"
    lora: Annotated[LoraSettings, Parameter(name="lora")] = LoraSettings()
    report: Annotated[
        bool,
        Field(
            description="Write report.html of the best epoch on the dev data at the end, where the "
            "report extra is installed."
        ),
    ] = True
    backbone: Annotated[BackboneSettings, Parameter(name="*")] = BackboneSettings()
    head: Annotated[HeadSettings, Parameter(name="*")] = HeadSettings()

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("preset") in get_args(Preset):
            return with_preset(given["preset"], given)
        return given

    def explicit(self) -> dict[str, Any]:
        """Only the fields that were given."""
        return self.model_dump(exclude_unset=True)

    def recipe(self) -> dict[str, Any]:
        """What makes the tagger another one than the defaults would, as TOML can hold it.

        Without the data, and without what only this machine has: its folders and devices. What a
        preset chose is named setting by setting: the preset may be another one some day.
        """
        machine: dict[str, Any] = {"backbone": {"device", "token_budget"}}
        machine |= dict.fromkeys(("train", "dev", "output", "store", "report", "preset"), True)
        found = self.model_dump(mode="json", exclude_defaults=True, exclude=machine)
        local = from_home(self.backbone.model)
        if "model" in found.get("backbone", {}) and local.exists():
            found["backbone"]["model"] = local.resolve().name
        if self.start_from is not None:
            found["start_from"] = self.start_from.resolve().name
        return {name: value for name, value in found.items() if value != {}}


class Inputs(BaseModel):
    """What systems are evaluated on, and where their parts lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Annotated[
        str | None,
        Field(
            description="Annotated data: CoNLL or JSONL file, dataset folder, or "
            "hf:org/name:split. Without it, the last column but one of prediction files is gold."
        ),
    ] = None
    train: Annotated[
        str | None,
        Field(
            description="What the systems learned from, to tell seen entities from unseen ones; "
            "by default what a tagger was trained on."
        ),
    ] = None
    word_column: Annotated[int, Field(description="Column of the words in CoNLL files.")] = 0
    tag_column: Annotated[int, Field(description="Column of the tags in CoNLL files.")] = -1
    store: Annotated[
        Path | None, Field(description="Folder of the feature store; else in the user's cache.")
    ] = None
    backbone: Annotated[
        str | None,
        Field(
            description="Where the taggers' backbone lies, if not where it was in training; for "
            "prediction files, whose subwords to count ('default' is one)."
        ),
    ] = None
    device: Annotated[
        str | None, Field(description="Where the backbone runs: cpu, cuda, cuda:1, mps.")
    ] = None
    precision: Annotated[
        Precision | None,
        Field(
            description="Arithmetic of the backbone; by default that of the tagger's training, "
            "where 'auto' is bfloat16 where the machine computes it natively, else float32."
        ),
    ] = None


def configuration_of_run(tagger: Path) -> TrainingConfiguration | None:
    """What the tagger in a folder was trained with; ``None`` where its run is no longer there."""
    try:
        return TrainingConfiguration.model_validate_json((tagger / RUN_CONFIGURATION).read_bytes())
    except (OSError, ValidationError):
        return None


class ServiceSettings(BaseModel):
    """Where ``llamaner serve`` listens, and the limits that it holds its clients to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Annotated[str, Field(description="Address to listen on; 0.0.0.0 is all of them.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Field(ge=0, le=65535, description="Port; 0 takes a free one.")] = 8000
    api_keys: Annotated[
        Path | None,
        Field(
            description="File of keys, one a line, of which a client must send one. Those in the "
            "variable LLAMANER_API_KEYS, separated by commas, count too. Without keys anyone may "
            "ask."
        ),
    ] = None
    cors_origins: Annotated[
        tuple[str, ...],
        Parameter(consume_multiple=True, negative=""),
        Field(description="Other web sites that may ask, as https://example.org; by default none."),
    ] = ()
    max_body_bytes: Annotated[int, Field(ge=1024, description="Largest body of a request.")] = 2**20
    max_texts: Annotated[int, Field(ge=1, description="Most texts in one request.")] = 1000
    max_characters: Annotated[
        int,
        Field(
            ge=1,
            description="Longest document. It is tagged in one piece, and others wait meanwhile.",
        ),
    ] = 20_000
    batch_subwords: Annotated[
        int, Field(ge=64, description="About how many subwords are tagged at a time.")
    ] = 4096
    batch_wait_ms: Annotated[
        float,
        Field(ge=0, le=1000, description="How long a request may wait for others to join it."),
    ] = 5.0
    queue_subwords: Annotated[
        int,
        Field(ge=64, description="About how many subwords may wait; more are refused with 429."),
    ] = 32_768
    request_seconds: Annotated[
        float, Field(gt=0, description="Longest time to an answer; in a stream, to the next line.")
    ] = 60.0
    receive_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="Longest time for a client to send the head of a request, to send its "
            "body, and to take some of the answer.",
        ),
    ] = 30.0
    shutdown_seconds: Annotated[
        int, Field(ge=1, description="Time after SIGTERM to finish what was accepted.")
    ] = 60
    max_connections: Annotated[int, Field(ge=1, description="Most connections at a time.")] = 512
    log_texts: Annotated[
        bool, Parameter(negative=""), Field(description="Write the texts into the log, too.")
    ] = False


def read_configuration(
    path: Path | None, overrides: Mapping[str, Any] | None = None
) -> TrainingConfiguration:
    """The configuration of a TOML file, with ``overrides`` (the flags) on top.

    ``backbone`` and ``head`` are tables of the file. Raises ``ConfigurationError`` naming each
    field that is unknown or wrong.
    """
    values: dict[str, Any] = {} if path is None else _read_toml(path)
    for name, value in (overrides or {}).items():
        if isinstance(value, Mapping) and isinstance(values.get(name), dict):
            values[name] = {**values[name], **value}
        else:
            values[name] = value
    try:
        return TrainingConfiguration.model_validate(values)
    except ValidationError as error:
        place = "the configuration" if path is None else str(path)
        faults = "\n".join(f"{place}: {fault}" for fault in faults_of(error))
        raise ConfigurationError(faults) from None


def faults_of(error: ValidationError, *, flags: bool = False) -> list[str]:
    """What is wrong with each setting, a sentence each; with ``flags`` named as on a command
    line.
    """
    return [_describe(fault, flag=flags) for fault in error.errors(include_url=False)]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: not readable as TOML ({error})") from None


def _describe(fault: Any, *, flag: bool) -> str:
    # Beside names of settings there are places in a list, and pydantic's names of alternatives.
    parts = [str(part) for part in fault["loc"]]
    name = ".".join(part for part in parts if part.isidentifier()) or ".".join(parts)
    if flag:
        name = "--" + name.removeprefix("backbone.").removeprefix("head.").replace("_", "-")
    if fault["type"] == "extra_forbidden":
        return f"there is no setting {name!r}; see `llamaner train --help`"
    wrong = fault["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f"{name}: {wrong}, found {fault['input']!r}"
