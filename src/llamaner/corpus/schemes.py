"""Label schemes: entities as spans of words, written as one tag a word and read back.

==========  =====================================================================
``IOB1``    ``I-`` everywhere; ``B-`` only where an entity touches one of its label
``BIO``     ``B-`` on the first word of an entity, ``I-`` on the others (IOB2)
``BIOES``   as BIO, with ``E-`` on the last word and ``S-`` on a lone one
==========  =====================================================================

BILOU is BIOES under other letters: ``L-`` is read as ``E-`` and ``U-`` as ``S-``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

Scheme = Literal["IOB1", "BIO", "BIOES"]

OUTSIDE = "O"

_PREFIXES: dict[Scheme, str] = {"IOB1": "BI", "BIO": "BI", "BIOES": "BIESLU"}
_BILOU = {"L": "E", "U": "S"}


class LabelSpan(NamedTuple):
    """An entity as a half-open range of words."""

    label: str
    start: int
    end: int


class IllFormed(NamedTuple):
    """A transition that a scheme does not allow, at the word ``position``.

    ``previous`` is ``None`` at the first word; ``tag`` is ``None`` where the sentence ends too
    early, and ``position`` is then its last word.
    """

    position: int
    previous: str | None
    tag: str | None


@lru_cache(maxsize=4096)
def split_tag(tag: str) -> tuple[str, str]:
    """The prefix (``O``, ``B``, ``I``, ``E`` or ``S``) and the label of a tag.

    Raises ``ValueError`` for what is not a tag of any scheme.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, _, label = tag.partition("-")
    prefix = _BILOU.get(prefix, prefix)
    if prefix not in ("B", "I", "E", "S") or not label:
        raise ValueError(f"{tag!r} is not a tag: expected O, or one of B- I- E- S- and a label")
    return prefix, label


def encode(spans: Sequence[LabelSpan], length: int, scheme: Scheme = "BIO") -> list[str]:
    """One tag for each of ``length`` words.

    Raises ``ValueError`` when spans overlap, are empty, lack a label or leave the sentence.
    """
    tags = [OUTSIDE] * length
    before = LabelSpan("", 0, 0)
    for span in sorted(spans, key=lambda span: span.start):
        if not before.end <= span.start < span.end <= length:
            raise ValueError(f"{span} overlaps another, is empty or leaves the {length} words")
        if not span.label:
            raise ValueError(f"{span} has no label")
        touches = before.end == span.start and before.label == span.label
        tags[span.start : span.end] = _span_tags(span, touches, scheme)
        before = span
    return tags


def _span_tags(span: LabelSpan, touches: bool, scheme: Scheme) -> list[str]:
    tags = [f"I-{span.label}"] * (span.end - span.start)
    if scheme != "IOB1" or touches:
        tags[0] = f"B-{span.label}"
    if scheme == "BIOES":
        tags[-1] = f"E-{span.label}" if len(tags) > 1 else f"S-{span.label}"
    return tags


def decode(tags: Sequence[str], scheme: Scheme = "BIO") -> list[LabelSpan]:
    """The entities that the tags mark, in order.

    As lenient as conlleval where tags are ill-formed: an ``I-`` or ``E-`` that continues nothing
    begins an entity, and one that is never closed ends before the next word that leaves it.
    Raises ``ValueError`` for a tag that ``scheme`` does not have.
    """
    spans: list[LabelSpan] = []
    start: int | None = None
    previous, open_label = OUTSIDE, ""
    for i, tag in enumerate(tags):
        prefix, label = _scheme_tag(tag, scheme)
        begins = _begins(previous, open_label, prefix, label)
        if start is not None and (begins or prefix == OUTSIDE):
            spans.append(LabelSpan(open_label, start, i))
            start = None
        if begins:
            start = i
        previous, open_label = prefix, label
    if start is not None:
        spans.append(LabelSpan(open_label, start, len(tags)))
    return spans


def _begins(previous: str, previous_label: str, prefix: str, label: str) -> bool:
    if prefix == OUTSIDE:
        return False
    return prefix in "BS" or previous in "OES" or previous_label != label


def _scheme_tag(tag: str, scheme: Scheme) -> tuple[str, str]:
    prefix, label = split_tag(tag)
    if prefix != OUTSIDE and tag[0] not in _PREFIXES[scheme]:
        raise ValueError(f"{tag!r} is not a tag of {scheme}")
    return prefix, label


def follows(previous: str | None, tag: str | None, scheme: Scheme) -> bool:
    """Whether ``scheme`` allows ``tag`` right after ``previous``.

    ``None`` stands for the start of the sentence as ``previous`` and for its end as ``tag``.
    Raises ``ValueError`` for what is not a tag of any scheme.
    """
    before, before_label = split_tag(previous or OUTSIDE)
    prefix, label = split_tag(tag or OUTSIDE)
    if prefix in "ES" and scheme != "BIOES":
        return False
    if scheme == "IOB1":
        return prefix != "B" or (before in "BI" and before_label == label)
    inside = before in "BI" and before_label == label
    if scheme == "BIO":
        return prefix != "I" or inside
    return inside if prefix in "IE" else before not in "BI"


def ill_formed(tags: Sequence[str], scheme: Scheme) -> list[IllFormed]:
    """The transitions of a sentence that ``scheme`` does not allow, in order.

    Raises ``ValueError`` for what is not a tag of any scheme.
    """
    if not tags:
        return []
    pairs = zip([None, *tags], [*tags, None], strict=True)
    last = len(tags) - 1
    return [
        IllFormed(min(i, last), previous, tag)
        for i, (previous, tag) in enumerate(pairs)
        if not follows(previous, tag, scheme)
    ]


def recognise(tag_sequences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that fits the tags best: the one with the fewest ill-formed transitions.

    Where several fit equally well, BIOES if ``E-`` or ``S-`` occurs, otherwise BIO, by far the
    most common. Raises ``ValueError`` for what is not a tag of any scheme.
    """
    transitions: dict[tuple[str | None, str | None], int] = {}
    for tags in tag_sequences:
        for pair in zip([None, *tags], [*tags, None], strict=True):
            transitions[pair] = transitions.get(pair, 0) + 1
    prefixes = {split_tag(tag or OUTSIDE)[0] for _, tag in transitions}
    # Every well-formed BIOES entity ends in E- or S-, so a file without them cannot be BIOES.
    candidates: list[Scheme] = ["BIO", "IOB1"]
    if prefixes & {"E", "S"}:
        candidates.insert(0, "BIOES")
    return min(candidates, key=lambda scheme: _faults(transitions, scheme))


def _faults(transitions: dict[tuple[str | None, str | None], int], scheme: Scheme) -> int:
    return sum(
        count
        for (previous, tag), count in transitions.items()
        if not follows(previous, tag, scheme)
    )
