"""A LLaMA tokenizer that gives character offsets, and the check that it was loaded rightly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llamaner.backbone.alignment import Subwords
from llamaner.backbone.quiet import quiet_transformers
from llamaner.errors import BackboneError

PROBES = (
    "EU rejects German call to boycott British lamb .",
    "It's 3,141.59 (or so) -- isn't it?\nYes: \"we\tsaw\" a_b@c.org",
    "Łódź, São Tomé and 北京 in Ελλάδα 👩‍🚀 नमस्ते שלום",
)
_SURROGATES = dict.fromkeys(range(55296, 57344), "�")


class BackboneTokenizer:
    """Texts → subwords with character offsets.

    Special tokens are never read out of the text (``</s>`` typed by a user is five characters),
    never added, and nothing is truncated. Lone surrogates, which no UTF-8 can hold, are read as
    U+FFFD.
    """

    def __init__(self, tokenizer: Any) -> None:
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self._backend = backend
        self.unknown_id: int | None = tokenizer.unk_token_id
        bos = tokenizer.bos_token_id
        self.prefix = np.array([] if bos is None else [bos], dtype=np.int64)
        self.separator = self(["\n"])[0].ids

    @classmethod
    def load(cls, folder: Path) -> BackboneTokenizer:
        """The tokenizer of a model folder, checked.

        Raises ``BackboneError`` where it is missing, gives no offsets or fails ``check``.
        """
        from transformers import AutoTokenizer

        try:
            with quiet_transformers():
                tokenizer = AutoTokenizer.from_pretrained(folder)
        except Exception as error:
            # The tokenizers library raises plain exceptions for a damaged file.
            reason = str(error).partition("\n")[0]
            raise BackboneError(f"{folder}: the tokenizer cannot be loaded ({reason})") from error
        if not tokenizer.is_fast:
            raise BackboneError(
                f"{folder}: the tokenizer gives no character offsets; a tokenizer.json is needed"
            )
        loaded = cls(tokenizer)
        loaded.check(str(folder))
        return loaded

    def __call__(self, texts: Sequence[str]) -> list[Subwords]:
        """The subwords of each text; an empty text has none."""
        readable = [text.translate(_SURROGATES) for text in texts]
        return [
            Subwords(
                np.array(encoding.ids, dtype=np.int64),
                np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2),
            )
            for encoding in self._backend.encode_batch(readable, add_special_tokens=False)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some subwords."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=False)
        return text

    def check(self, name: str) -> None:
        """Raise ``BackboneError`` unless texts round-trip and subwords are where they claim to be.

        This catches the releases of Transformers that load byte-level LLaMA tokenizers as
        another kind, vocabularies that do not belong to the tokenizer, and wrong offsets.
        """
        for text, subwords in zip(PROBES, self(PROBES), strict=True):
            fault = self._fault(text, subwords)
            if fault:
                raise BackboneError(
                    f"{name}: the tokenizer was loaded wrongly: {fault}. Try another release of "
                    "transformers, or another copy of the model's tokenizer.json"
                )

    def _fault(self, text: str, subwords: Subwords) -> str | None:
        if self.unknown_id is not None and self.unknown_id in subwords.ids:
            return f"it has no pieces for {text!r}" if text.isascii() else None
        decoded = self.decode(subwords.ids.tolist())
        if decoded.split() != text.split():
            return f"{text!r} came back as {decoded!r}"
        return _offset_fault(text, subwords) or self._piece_fault(text, subwords)

    def _piece_fault(self, text: str, subwords: Subwords) -> str | None:
        for id_, (start, end) in zip(subwords.ids, subwords.offsets, strict=True):
            piece, claimed = self.decode([id_]).strip(), text[start:end].strip()
            if piece and "\ufffd" not in piece and piece != claimed:
                return f"the subword {piece!r} claims to be {claimed!r} of {text!r}"
        return None


def _offset_fault(text: str, subwords: Subwords) -> str | None:
    covered = np.zeros(len(text), dtype=bool)
    position = 0
    for start, end in subwords.offsets:
        if not position <= start <= end <= len(text):
            return f"its offsets go back or outside, at {start}:{end} of {text!r}"
        covered[start:end] = True
        position = start
    lost = [char for i, char in enumerate(text) if not covered[i] and not char.isspace()]
    return f"its offsets leave out {lost} of {text!r}" if lost else None
