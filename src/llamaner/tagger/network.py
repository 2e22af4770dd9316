"""The network: word vectors and spellings in, tag scores out, a CRF over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from llamaner.configuration import HeadSettings
from llamaner.tagger.characters import CharacterCnn, WordCharacters
from llamaner.tagger.crf import LinearChainCRF
from llamaner.tagger.dropout import Dropout
from llamaner.tagger.layer_mix import LayerMix, LayerProjection
from llamaner.tagger.recurrence import BiLstm
from llamaner.tagger.rounding import filled_up


@dataclass(frozen=True, slots=True)
class WordBatch:
    """Some sentences as the network reads them: N words, all sentences one after another.

    ``vectors`` (N, L, D) from the backbone, ``characters`` of the words, ``lengths`` (B) in words.
    """

    vectors: Tensor
    characters: WordCharacters
    lengths: Tensor

    def to(self, device: torch.device) -> WordBatch:
        """The same on another device."""
        return WordBatch(
            self.vectors.to(device), self.characters.to(device), self.lengths.to(device)
        )

    def mask(self) -> Tensor:
        """(B, T): where the words are when each sentence has its own row."""
        longest = int(self.lengths.max()) if len(self.lengths) else 0
        return torch.arange(longest, device=self.lengths.device) < self.lengths[:, None]


class BiLstmCrf(nn.Module):
    """Layer mix and character CNN → BiLSTM → CRF (Lample et al. 2016, Ma & Hovy 2016)."""

    def __init__(
        self,
        tags: Sequence[str],
        *,
        layers: int,
        width: int,
        alphabet_size: int,
        settings: HeadSettings,
    ) -> None:
        super().__init__()
        self.mix = (
            LayerMix(layers) if settings.layer_mix == "sum" else LayerProjection(layers, width)
        )
        self.characters = (
            CharacterCnn(alphabet_size, settings.character_width)
            if settings.character_width
            else None
        )
        self.word_dropout = settings.word_dropout
        self.dropout = Dropout(settings.dropout)
        self.lstm = BiLstm(width + settings.character_width, settings.lstm_width)
        self.emit = nn.Linear(2 * settings.lstm_width, len(tags))
        self.crf = LinearChainCRF(tags, constraints="BIOES")

    def emissions(self, batch: WordBatch) -> Tensor:
        """Tag scores (B, T, K); those at padding mean nothing."""
        words = self._drop_words(self.mix(batch.vectors))
        if self.characters is not None:
            words = torch.cat([words, self.characters(batch.characters)], dim=1)
        mask = batch.mask()
        rows = words.new_zeros(*mask.shape, words.shape[1])
        rows[mask] = self.dropout(words)
        packed = pack_padded_sequence(
            rows, batch.lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states = self.lstm.states(packed)
        # Packed still: dropout draws a number for each element, padding included.
        scored = self.emit(filled_up(self.dropout(states.data)))[: len(states.data)]
        scores: Tensor = pad_packed_sequence(states._replace(data=scored), batch_first=True)[0]
        return scores

    def loss(
        self, batch: WordBatch, tags: Tensor, precision: torch.dtype = torch.float32
    ) -> Tensor:
        """Mean over the sentences of -log p(``tags`` | words); ``tags`` (B, T) as the mask.

        Matrices before the CRF are multiplied in ``precision``; weights stay in float32.
        """
        lower = precision != torch.float32
        with torch.autocast(tags.device.type, dtype=precision, enabled=lower):
            emissions = self.emissions(batch)
        return -self.crf.log_likelihood(emissions.float(), tags, batch.mask()).mean()

    def _drop_words(self, words: Tensor) -> Tensor:
        if not self.training or not self.word_dropout:
            return words
        kept = torch.rand(len(words), 1, device=words.device) >= self.word_dropout
        return words * kept
