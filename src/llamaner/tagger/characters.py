"""What the spelling of a word says, of words of any length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llamaner.tagger.rounding import rounded_up

BOUNDARY, UNKNOWN = 0, 1
EMBEDDING_WIDTH = 32
REACH = 3
"""How many characters a filter sees."""
_CHARACTERS = 256
"""The row of characters is filled up to a multiple of so many."""


@dataclass(frozen=True, slots=True)
class WordCharacters:
    """The distinct words of a batch, spelled out one after another with a boundary on both sides.

    ``ids`` (C) are characters, ``lengths`` (U) the length of each distinct word with boundaries,
    ``words`` (N) the distinct word that each word of the batch is.
    """

    ids: Tensor
    lengths: Tensor
    words: Tensor

    def to(self, device: torch.device) -> WordCharacters:
        """The same on another device."""
        return WordCharacters(self.ids.to(device), self.lengths.to(device), self.words.to(device))


class Alphabet:
    """The characters that a network knows; others are read as one unknown character."""

    MINIMUM_COUNT = 2

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = tuple(characters)
        self._ids = {character: i for i, character in enumerate(characters, UNKNOWN + 1)}

    @classmethod
    def of(cls, words: Iterable[str]) -> Alphabet:
        """The characters that occur at least twice, so that the unknown one is met in training."""
        counts = Counter(character for word in words for character in word)
        return cls(sorted(c for c, count in counts.items() if count >= cls.MINIMUM_COUNT))

    def __len__(self) -> int:
        return len(self.characters) + 2

    def spell(self, words: Iterable[str]) -> WordCharacters:
        """The words of a batch, each distinct one once."""
        numbers: dict[str, int] = {}
        places = [numbers.setdefault(word, len(numbers)) for word in words]
        ids: list[int] = []
        for word in numbers:
            ids.append(BOUNDARY)
            ids.extend(self._ids.get(character, UNKNOWN) for character in word)
            ids.append(BOUNDARY)
        lengths = torch.tensor([len(word) + 2 for word in numbers], dtype=torch.long)
        return WordCharacters(torch.tensor(ids, dtype=torch.long), lengths, torch.tensor(places))


class CharacterCnn(nn.Module):
    """Filters over neighbouring characters, the strongest answer of each a word.

    Ma & Hovy 2016 (arXiv 1603.01354, section 2.1), without padding: the words of a batch stand in
    one row with boundaries between them, so that a word of 10,000 characters costs only itself.
    """

    def __init__(self, alphabet_size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(alphabet_size, EMBEDDING_WIDTH)
        self.filters = nn.Conv1d(EMBEDDING_WIDTH, width, REACH)

    def forward(self, characters: WordCharacters) -> Tensor:
        """One row (N, width) for each word of the batch."""
        # The first and the last word of the row see boundaries beside them as all others do.
        count = len(characters.ids)
        after = REACH // 2 + rounded_up(count, _CHARACTERS) - count
        ids = nn.functional.pad(characters.ids, (REACH // 2, after), value=BOUNDARY)
        row = self.embedding(ids).T
        answers = self.filters(row[None])[0].T[:count].contiguous()
        strongest = torch.segment_reduce(answers, "max", lengths=characters.lengths)
        # Not by indexing: its gradient adds up in an order that threads decide.
        return strongest.index_select(0, characters.words)
