"""Which tags may follow each other, read off the tag list.

Three schemes, in the words of the CoNLL shared tasks (X and Y are any two labels):

====== ============================== ==========================================
scheme an entity of label X           hard constraints
====== ============================== ==========================================
BIO    B-X, then I-X                  I-X only after B-X or I-X
BIOES  S-X, or B-X, then I-X, E-X     B-X and I-X only before I-X or E-X
IOB1   I-X (B-X right after another)  B-X only after B-X or I-X
====== ============================== ==========================================
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Scheme = Literal["BIO", "BIOES", "IOB1"]
PREFIXES: dict[Scheme, str] = {"BIO": "BI", "BIOES": "BIES", "IOB1": "BI"}


@dataclass(frozen=True)
class TagConstraints:
    """What a path may do, as boolean tensors, and how soon any tag can follow any other."""

    start: Tensor
    """(tags): may open a sentence."""
    transitions: Tensor
    """(tags, tags): row may be followed by column."""
    end: Tensor
    """(tags): may close a sentence."""
    mixing: int
    """The least number of steps in which every usable tag can reach every usable tag."""


def split_tag(tag: str) -> tuple[str, str]:
    """Split ``B-PER`` into ``("B", "PER")`` and ``O`` into ``("O", "")``."""
    prefix, _, label = tag.partition("-")
    return prefix, label


def build_constraints(tags: Sequence[str], scheme: Scheme | None) -> TagConstraints:
    """Constraints of ``scheme`` over ``tags``; ``None`` allows everything.

    Tags through which no whole path leads (B-X when neither I-X nor E-X is in a BIOES list) get
    no transition at all, so that their probability is 0 from the first word on.
    """
    _check_tags(tags, scheme)
    count = len(tags)
    if scheme is None:
        free = torch.ones(count, dtype=torch.bool)
        return TagConstraints(free, torch.ones(count, count, dtype=torch.bool), free.clone(), 1)
    parts = [split_tag(tag) for tag in tags]
    outside = ("O", "")
    start = torch.tensor([_may_follow(outside, part, scheme) for part in parts])
    end = torch.tensor([_may_follow(part, outside, scheme) for part in parts])
    transitions = torch.tensor([[_may_follow(a, b, scheme) for b in parts] for a in parts])
    usable = _reachable(start, transitions) & _reachable(end, transitions.T)
    start, end = start & usable, end & usable
    if not (start & end).any():
        raise ValueError(
            f"no {scheme} path exists for a one-word sentence with the tags {list(tags)}; "
            f"allowed: a list with O, or with a tag that may stand alone"
        )
    transitions = transitions & usable[:, None] & usable[None, :]
    return TagConstraints(start, transitions, end, _mixing_steps(transitions, usable))


def _check_tags(tags: Sequence[str], scheme: Scheme | None) -> None:
    if isinstance(tags, str) or not tags:
        raise ValueError(f"tags must be a non-empty sequence of names, got {tags!r}")
    repeated = sorted({tag for tag in tags if list(tags).count(tag) > 1})
    if repeated:
        raise ValueError(f"every tag may be listed once, got {repeated} more than once")
    if scheme is None:
        return
    if scheme not in get_args(Scheme):
        raise ValueError(f"constraints must be one of {get_args(Scheme)} or None, got {scheme!r}")
    for tag in tags:
        prefix, label = split_tag(tag)
        if tag != "O" and not (prefix and prefix in PREFIXES[scheme] and label):
            allowed = ", ".join(f"{p}-<label>" for p in PREFIXES[scheme])
            raise ValueError(f"{tag!r} is not a {scheme} tag; allowed: O, {allowed}")


def _may_follow(before: tuple[str, str], after: tuple[str, str], scheme: Scheme) -> bool:
    """Whether ``after`` may come next; the sentence's edge behaves like an O."""
    same_label = before[1] == after[1]
    if scheme == "BIO":
        return after[0] != "I" or same_label
    if scheme == "IOB1":
        return after[0] != "B" or same_label
    if before[0] in ("B", "I"):
        return after[0] in ("I", "E") and same_label
    return after[0] in ("O", "B", "S")


def _reachable(first: Tensor, transitions: Tensor) -> Tensor:
    """(tags): the tags that some path from ``first`` (tags) comes to."""
    seen = first
    for _ in range(len(first)):
        seen = seen | (seen.float() @ transitions.float() > 0)
    return seen


def _mixing_steps(transitions: Tensor, usable: Tensor) -> int:
    """Least d with all of ``transitions``^d allowed among usable tags.

    It exists: a tag that may stand alone (``start & end``) may also repeat, and every usable tag
    leads to it and from it.
    """
    step = transitions[usable][:, usable].float()
    reach, steps = step, 1
    while not bool((reach > 0).all()):
        reach, steps = (reach @ step > 0).float(), steps + 1
    return steps
