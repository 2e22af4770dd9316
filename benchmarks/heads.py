"""`llamaner` with one part of its network replaced by what others take there: for ablation.py.

    python benchmarks/heads.py softmax train --train train.txt --dev valid.txt --output tagger
    python benchmarks/heads.py distilled=TAGGER,TAGGER,TAGGER train --train train.txt …

What was trained so can be read by nothing else: it is there to be compared.
"""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)

from llamaner import cli
from llamaner.tagger import NerTagger, ner_tagger, network
from llamaner.tagger.characters import EMBEDDING_WIDTH, Alphabet, CharacterCnn, WordCharacters
from llamaner.tagger.crf import LinearChainCRF
from llamaner.tagger.network import BiLstmCrf, WordBatch
from llamaner.tagger.recurrence import BiLstm

CASES: list[Callable[[str], bool]] = [
    str.isupper,
    str.islower,
    str.isdigit,
    lambda character: not character.isalnum(),
]


class Softmax(LinearChainCRF):
    """Each word by itself: a CRF whose transitions all score 0."""

    def __init__(self, tags: tuple[str, ...], **_: object) -> None:
        super().__init__(tags, constraints=None)

    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.zeros_(parameter).requires_grad_(False)


class CharacterLstm(nn.Module):
    """The last states of an LSTM in each direction (Lample et al. 2016, section 4.1)."""

    def __init__(self, alphabet_size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(alphabet_size, EMBEDDING_WIDTH)
        self.lstm = nn.LSTM(EMBEDDING_WIDTH, width // 2, bidirectional=True)

    def forward(self, characters: WordCharacters) -> Tensor:
        spelt = torch.split(self.embedding(characters.ids), characters.lengths.tolist())
        _, (last, _) = self.lstm(pack_sequence(spelt, enforce_sorted=False))
        return torch.cat([last[0], last[1]], dim=1).index_select(0, characters.words)


class CaseFeatures(nn.Module):
    """The character CNN, twelve of its filters replaced by features of case.

    Whether any, each, and the first character are upper or lower case, a digit, or none of them.
    """

    cases: Tensor

    def __init__(self, alphabet_size: int, width: int) -> None:
        super().__init__()
        self.filters = CharacterCnn(alphabet_size, width - 3 * len(CASES))

    def forward(self, characters: WordCharacters) -> Tensor:
        lengths = characters.lengths - 2
        first = lengths.cumsum(0) - lengths
        inside = torch.ones(len(characters.ids), dtype=torch.bool)
        ends = characters.lengths.cumsum(0)
        inside[ends - 1], inside[ends - characters.lengths] = False, False
        cases = self.cases[characters.ids[inside]]
        found = torch.cat(
            [
                torch.segment_reduce(cases, "max", lengths=lengths),
                torch.segment_reduce(cases, "min", lengths=lengths),
                cases[first],
            ],
            dim=1,
        )
        return torch.cat([self.filters(characters), found[characters.words]], dim=1)


class CasedAlphabet(Alphabet):
    """Tells ``CaseFeatures`` the case of each character; boundary and unknown one have none."""

    def __init__(self, characters: Sequence[str]) -> None:
        super().__init__(characters)
        rows = [[float(case(character)) for case in CASES] for character in characters]
        CaseFeatures.cases = torch.tensor([[0.0] * len(CASES)] * 2 + rows)


class TwoLayers(nn.Module):
    """A second BiLSTM over the states of the first, with dropout between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second = BiLstm(width, hidden), BiLstm(2 * hidden, hidden)
        self.dropout = nn.Dropout(0.5)

    def states(self, words: PackedSequence) -> PackedSequence:
        states = self.first.states(words)
        return self.second.states(states._replace(data=self.dropout(states.data)))


class VariationalDropout(BiLstmCrf):
    """Leaves the same out at all words of a sentence (Gal & Ghahramani 2016)."""

    def emissions(self, batch: WordBatch) -> Tensor:
        words = self._drop_words(self.mix(batch.vectors))
        if self.characters is not None:
            words = torch.cat([words, self.characters(batch.characters)], dim=1)
        mask, lengths = batch.mask(), batch.lengths
        rows = words.new_zeros(*mask.shape, words.shape[1])
        rows[mask] = words
        rows = rows * self.dropout(rows.new_ones(len(rows), 1, rows.shape[2]))
        packed = pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
        states = pad_packed_sequence(self.lstm.states(packed), batch_first=True)[0]
        kept = self.dropout(states.new_ones(len(states), 1, states.shape[2]))
        scores: Tensor = self.emit(states * kept)
        return scores


class Distilled(BiLstmCrf):
    """Learns the paths that frozen taggers of other seeds expect, and the gold ones, half each.

    -E log p(y), y as probable as the taggers' marginals say on average (structured knowledge
    distillation, Wang et al. 2020).
    """

    teachers: Sequence[BiLstmCrf] = ()

    def loss(
        self, batch: WordBatch, tags: Tensor, precision: torch.dtype = torch.float32
    ) -> Tensor:
        mask = batch.mask()
        with torch.no_grad():
            found = [t.crf.marginals(t.emissions(batch), mask) for t in self.teachers]
            words = torch.stack([marginals.tags for marginals in found]).mean(0)
            pairs = torch.stack([marginals.transitions for marginals in found]).mean(0)
        lower = precision != torch.float32
        with torch.autocast(tags.device.type, dtype=precision, enabled=lower):
            emissions = self.emissions(batch).float()
        last = words[torch.arange(len(words)), batch.lengths - 1]
        expected = (
            (words * emissions.masked_fill(~mask[..., None], 0.0)).sum((1, 2))
            + (pairs.sum(1) * self.crf.transitions).sum((1, 2))
            + words[:, 0] @ self.crf.start
            + last @ self.crf.end
        )
        distilled = (self.crf.log_partition(emissions, mask) - expected).mean()
        return (distilled - self.crf.log_likelihood(emissions, tags, mask).mean()) / 2


PARTS: dict[str, list[tuple[ModuleType, str, type]]] = {
    "softmax": [(network, "LinearChainCRF", Softmax)],
    "character-lstm": [(network, "CharacterCnn", CharacterLstm)],
    "case-features": [
        (network, "CharacterCnn", CaseFeatures),
        (ner_tagger, "Alphabet", CasedAlphabet),
    ],
    "two-layers": [(network, "BiLstm", TwoLayers)],
    "variational-dropout": [(ner_tagger, "BiLstmCrf", VariationalDropout)],
    "distilled": [(ner_tagger, "BiLstmCrf", Distilled)],
}


def main() -> None:
    part, _, teachers = "".join(sys.argv[1:2]).partition("=")
    if part not in PARTS or (part == "distilled") != bool(teachers):
        sys.exit(f"usage: {__doc__}\nparts: {', '.join(PARTS)}")
    Distilled.teachers = [NerTagger.from_pretrained(t).network for t in teachers.split(",") if t]
    for module, name, other in PARTS[part]:
        setattr(module, name, other)
    del sys.argv[1]
    cli.main()


if __name__ == "__main__":
    main()
