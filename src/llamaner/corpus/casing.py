"""Documents in other letters: all lower case, or all capitals, as people write online."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from llamaner.corpus.types import Document

Case = Literal["lower", "upper"]


def recased(document: Document, case: Case) -> Document:
    """The same document with its letters in another case; all offsets stay.

    A letter whose other case takes several characters (ß, İ) stays as it is.
    """
    sentences = tuple(
        replace(
            sentence,
            text=_recased(sentence.text, case),
            entities=tuple(
                replace(entity, text=_recased(entity.text, case)) for entity in sentence.entities
            ),
        )
        for sentence in document.sentences
    )
    return replace(document, text=_recased(document.text, case), sentences=sentences)


def recased_copies(documents: Sequence[Document], share: float) -> list[Document]:
    """Copies of about a ``share`` (0 to 1) of the documents, half in lower case, half in capitals.

    They are the same each time, so that their features can be stored.
    """
    rng = random.Random(0)
    cases: tuple[Case, Case] = ("lower", "upper")
    return [recased(d, rng.choice(cases)) for d in documents if rng.random() < share]


def _recased(text: str, case: Case) -> str:
    # Letter by letter: what lower() makes of a text's final sigma depends on its neighbours.
    return "".join(_recased_letter(letter, case) for letter in text)


def _recased_letter(letter: str, case: Case) -> str:
    changed = letter.lower() if case == "lower" else letter.upper()
    return changed if len(changed) == 1 else letter
