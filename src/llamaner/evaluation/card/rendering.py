"""What a card says, and the template that says it.

Whatever comes from the data, the settings or the backbone is text to the template, which escapes
it; only ``Markdown`` goes in as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CardData, EvalResult, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from llamaner.backbone.source import DEFAULT, hub_id, model_name
from llamaner.corpus import CorpusSize, corpus_name
from llamaner.corpus.reading import locate
from llamaner.evaluation.card.examples import clipped, error_kinds
from llamaner.evaluation.card.markdown import Markdown, escaped, plain
from llamaner.evaluation.card.notes import Notes
from llamaner.evaluation.report import HELD_OUT, Report
from llamaner.tagger import NerTagger

FEW = 50
"""Gold entities of a label below which its figures say little."""

_TOLD = ("llamaner", "train", "dev", "preset", "seed", "epoch")
_SUBWORDS = 2048
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of how a tagger came to be; ``None`` is what is not.

    ``settings`` are those of ``TrainingConfiguration.recipe``.
    """

    settings: dict[str, Any] | None = None
    size: CorpusSize | None = None


def render(
    folder: Path,
    tagger: NerTagger,
    report: Report,
    origin: Origin,
    notes: Notes,
    *,
    examples: bool = True,
) -> str:
    """The card's Markdown with its front matter; without ``examples``, no word of the data."""
    config, about = tagger.config, {**dict.fromkeys(_TOLD), **tagger.config.training}
    name, data = plain(folder.resolve().name), corpus_name(report.data)
    return _template().render(
        front_matter=Markdown(_front_matter(name, data, tagger, report, notes)),
        name=name,
        config=config,
        about=about,
        data=data,
        chose_epoch=data == (about.get("dev") or HELD_OUT),
        origin=origin,
        recipe=None if origin.settings is None else Markdown(_recipe(name, about, origin.settings)),
        backbone=tagger.backbone,
        backbone_name=model_name(config.backbone.model),
        backbone_is_default=config.backbone.model == DEFAULT,
        backbone_is_local=hub_id(config.backbone.model) is None,
        subwords=_SUBWORDS,
        parameters=sum(parameter.numel() for parameter in tagger.network.parameters()),
        bytes=sum((folder / file).stat().st_size for file in ("config.json", "model.safetensors")),
        report=report,
        evaluation=report.evaluation,
        labels=sorted({*(origin.size.entities if origin.size else ()), *_supports(report)}),
        untested=[label for label in config.labels if not _supports(report).get(label)],
        unknown=sorted({label for label, n in _supports(report).items() if n} - {*config.labels}),
        rare=[label for label, count in _supports(report).items() if 0 < count < FEW],
        supports=_supports(report),
        kinds=list(error_kinds(report)),
        examples=examples,
        few=FEW,
        recased=_recased(origin.settings or {}),
        notes=Markdown(notes.text),
        has_notes=bool(notes.text),
    )


def _recased(settings: Mapping[str, Any]) -> str | None:
    share = settings.get("recased")
    return f"{share:.0%}" if isinstance(share, float) and share else None


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("llamaner.evaluation.card", "."),
        undefined=StrictUndefined,
        finalize=escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["figure"] = lambda number: f"{number:.4f}"
    environment.filters["mib"] = lambda number: f"{number / 2**20:,.1f} MiB"
    environment.filters["interval"] = _interval
    environment.filters["named"] = lambda text: clipped(str(text), _LONGEST_NAME)
    environment.filters["quoted"] = lambda text: Markdown(json.dumps(text, ensure_ascii=False))
    return environment.get_template("card.md.jinja")


def _supports(report: Report) -> dict[str, int]:
    return {label: score.support for label, score in report.evaluation.strict.labels.items()}


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def _front_matter(name: str, data: str, tagger: NerTagger, report: Report, notes: Notes) -> str:
    """YAML as the Hugging Face hub reads it; the notes' fields win."""
    config = tagger.config
    ours: Any = ModelCardData(
        language="multilingual" if config.language == "xx" else config.language,
        library_name="llamaner",
        pipeline_tag="token-classification",
        base_model=hub_id(config.backbone.model),
        tags=["named-entity-recognition", "bilstm-crf"],
        metrics=["precision", "recall", "f1"],
        model_name=name,
        eval_results=list(_results(data, report)),
    )
    return CardData(**{**ours.to_dict(), **notes.fields}).to_yaml()


def _results(data: str, report: Report) -> Iterator[EvalResult]:
    at = locate(data) if data.startswith("hf:") else None
    overall = report.evaluation.strict.overall
    for metric in ("precision", "recall", "f1"):
        yield EvalResult(
            task_type="token-classification",
            task_name="Named-entity recognition",
            dataset_type=at.source if at else re.sub(r"[^\w.-]+", "-", plain(data)),
            dataset_name=at.source if at else plain(data),
            dataset_split=at.split if at else None,
            dataset_revision=at.revision if at else None,
            metric_type=metric,
            metric_name=f"{metric} (strict)",
            metric_value=round(getattr(overall, metric), 4),
        )


def _recipe(name: str, about: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The TOML file that gives the tagger again, as far as its author's data are at hand."""
    data = {"train": about.get("train"), "dev": about.get("dev"), "output": name}
    values = {**data, "seed": about.get("seed"), **settings}
    lines = _toml(values)
    for table, part in values.items():
        if isinstance(part, Mapping):
            lines += ["", f"[{_key(table)}]", *_toml(part)]
    return "\n".join(lines)


def _toml(values: Mapping[str, Any]) -> list[str]:
    """The lines of a table, without the tables in it. JSON's strings and numbers are TOML's."""
    return [
        f"{_key(name)} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
        if value is not None and not isinstance(value, Mapping)
    ]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name)
