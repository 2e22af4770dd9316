"""The exact probability that one entity, no longer and no shorter, stands at given words.

The paths that have the entity agree on its words' tags and differ before and after. Their sum is

    exp(before + inside + after - log Z)

with `before` a log-sum over the tags that may precede the entity (alpha messages), `inside` the
score of the entity's own tags, and `after` a log-sum over the tags that may follow (beta messages)
without those that would let it go on. No product of marginals is involved (Culotta & McCallum
2004 constrain the lattice likewise).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from llamaner.tagger.crf.constraints import Scheme, split_tag
from llamaner.tagger.crf.forward_backward import Messages
from llamaner.tagger.crf.potentials import Potentials


class EntityPlace(NamedTuple):
    """Where an entity stands in a batch."""

    sentence: int
    first_word: int
    last_word: int
    """Inclusive."""
    label: str


@dataclass(frozen=True)
class Spelling:
    """One way to write each of N entities in tags; -1 where the tag list lacks the tag."""

    first: Tensor
    """(N): tag of the first word."""
    inside: Tensor
    """(N): tag of the words between."""
    last: Tensor
    """(N): tag of the last word, unless it is also the first."""
    before: Tensor
    """(N, tags): the tags that may stand before."""
    after: Tensor
    """(N, tags): the tags that may stand after."""


def guess_scheme(tags: Sequence[str]) -> Scheme:
    """BIOES where there are E- or S- tags, BIO otherwise."""
    return "BIOES" if any(split_tag(tag)[0] in ("E", "S") for tag in tags) else "BIO"


def entity_log_probability(
    potentials: Potentials,
    messages: Messages,
    entities: Sequence[EntityPlace],
    tags: Sequence[str],
    scheme: Scheme,
) -> Tensor:
    """(N): log-probability of each entity; -inf where no path has it."""
    _check(entities, tags, potentials.lengths.tolist())
    if not entities:
        return potentials.words.new_empty(0)
    device = potentials.words.device
    places = torch.tensor([entity[:3] for entity in entities], device=device).view(-1, 3)
    ways = [
        _path_sum(potentials, messages, places, spelling)
        for spelling in spell(entities, tags, scheme, device)
    ]
    return torch.stack(ways).logsumexp(0) - messages.log_z[places[:, 0]]


def spell(
    entities: Sequence[EntityPlace], tags: Sequence[str], scheme: Scheme, device: torch.device
) -> list[Spelling]:
    """The ways to write the entities: two in IOB1, where B- follows an equal label; else one."""
    index = {tag: i for i, tag in enumerate(tags)}
    labels = sorted({entity.label for entity in entities})
    of_label = torch.tensor([labels.index(entity.label) for entity in entities], dtype=torch.long)
    single = torch.tensor([entity.first_word == entity.last_word for entity in entities])

    def tag(prefix: str) -> Tensor:
        found = torch.tensor([index.get(f"{prefix}-{label}", -1) for label in labels])
        return found[of_label].to(device)

    def is_one_of(prefixes: str) -> Tensor:
        names = [{f"{p}-{label}" for p in prefixes} for label in labels]
        found = torch.tensor([[tag in name for tag in tags] for name in names])
        return found[of_label].to(device)

    free = torch.ones(len(entities), len(tags), dtype=torch.bool, device=device)
    b, i = tag("B"), tag("I")
    if scheme == "BIOES":
        first = torch.where(single.to(device), tag("S"), b)
        return [Spelling(first, i, tag("E"), free, free)]
    goes_on = is_one_of("I")
    if scheme == "BIO":
        return [Spelling(b, i, i, free, ~goes_on)]
    same = is_one_of("BI")
    return [
        Spelling(i, i, i, ~same, ~goes_on),
        Spelling(b, i, i, same, ~goes_on),
    ]


def _path_sum(
    potentials: Potentials, messages: Messages, places: Tensor, spelling: Spelling
) -> Tensor:
    """(N): log-sum over the paths that write the entities at ``places`` (N, 3) this way."""
    sentence, first_word, last_word = places.unbind(1)
    inside, exists = _inside(potentials, places, spelling)
    first = spelling.first
    last = torch.where(first_word == last_word, first, spelling.last)
    transitions, end = potentials.transitions, potentials.end
    alpha = messages.alpha()[(first_word - 1).clamp_min(0), sentence]
    before = alpha + transitions[:, first].T
    before = before.masked_fill(~spelling.before, -torch.inf).logsumexp(1)
    before = torch.where(first_word == 0, potentials.start[first], before)
    next_word = (last_word + 1).clamp_max(len(potentials.words) - 1)
    onward = messages.beta()[next_word, sentence] + potentials.words[next_word, sentence]
    after = transitions[last] + onward
    after = after.masked_fill(~spelling.after, -torch.inf).logsumexp(1)
    after = torch.where(last_word == potentials.lengths[sentence] - 1, end[last], after)
    return (before + inside + after).masked_fill(~exists, -torch.inf)


def _inside(potentials: Potentials, places: Tensor, spelling: Spelling) -> tuple[Tensor, Tensor]:
    """(N) score of the entities' own tags, and (N) whether the tag list has them all."""
    sentence, first_word, last_word = places.unbind(1)
    width = int((last_word - first_word).max()) + 1
    word = first_word[:, None] + torch.arange(width, device=places.device)
    real = word <= last_word[:, None]
    tag = torch.where(word == last_word[:, None], spelling.last[:, None], spelling.inside[:, None])
    tag[:, 0] = spelling.first
    exists = ((tag >= 0) | ~real).all(1)
    word = word.clamp_max(len(potentials.words) - 1)
    emitted = potentials.words[word, sentence[:, None], tag].masked_fill(~real, 0.0).sum(1)
    moved = potentials.transitions[tag[:, :-1], tag[:, 1:]].masked_fill(~real[:, 1:], 0.0).sum(1)
    return emitted + moved, exists


def _check(entities: Sequence[EntityPlace], tags: Sequence[str], lengths: list[int]) -> None:
    labels = sorted({split_tag(tag)[1] for tag in tags if tag != "O"})
    for entity in entities:
        sentence, first, last, label = entity
        if label not in labels:
            raise ValueError(f"entity {tuple(entity)} has a label without tags; labels: {labels}")
        if not 0 <= sentence < len(lengths):
            raise ValueError(f"entity {tuple(entity)} is outside the {len(lengths)} sentences")
        if not 0 <= first <= last < lengths[sentence]:
            raise ValueError(
                f"entity {tuple(entity)} must have 0 <= first word <= last word < "
                f"{lengths[sentence]}, the number of words of its sentence"
            )
