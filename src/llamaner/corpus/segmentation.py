"""Raw text into sentences of words, by spaCy's tokenizer and rule sentencizer.

Words are as in CoNLL-2003 where spaCy's defaults differ: ``German-born``, ``1996-08-22`` and
``2-1`` are one word each. White space separates words and belongs to none; every other character
belongs to one. A character sequence that shows as one sign (a letter with its combining marks, a
joined emoji) is never cut. A blank line ends a sentence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from llamaner.corpus.types import Sentence
from llamaner.errors import ConfigurationError

if TYPE_CHECKING:
    from spacy.language import Language

Range = tuple[int, int]

# spaCy's time for a run without white space grows with the square of its length (8 seconds for
# 10,000 brackets), so longer runs than this are cut by _LONG_RUN_WORD instead.
_LONG = 200
_LONG_RUN = re.compile(rf"\S{{{_LONG + 1},}}")
_LONG_RUN_WORD = re.compile(r"\w+|([^\w\s])\1*")
_SURROGATE = re.compile("[\ud800-\udfff]")

# spaCy keeps each word that it has ever seen, in some 500 bytes. Its memory zones would let go of
# them, but are not for several threads.
_STRINGS_KEPT = 100_000

# German has this as a rule of its own, other languages among further signs.
_HYPHEN_IN_NUMBERS = "(?<=[0-9])-(?=[0-9])"
_JOINER = "\u200d"
_SKIN_TONES = ("\U0001f3fb", "\U0001f3ff")
_OPENING = frozenset("\"'“‘«‹„‚([{¿¡")


def segment(text: str, language: str = "en") -> tuple[Sentence, ...]:
    """The sentences of a text; each has at least one word, and no word holds white space.

    ``language`` is a code that spaCy knows, such as ``de``, or ``xx`` for any.
    Raises ``ConfigurationError`` for one that it does not know.
    """
    words = word_spans(text, language)
    starts = sentence_starts(text, words, language)
    bounds = pairwise([*starts, len(words)])
    return tuple(_sentence(text, words[first:after]) for first, after in bounds)


def word_spans(text: str, language: str = "en") -> list[Range]:
    """The half-open ranges of the words of a text, in order."""
    return _joined_signs(text, _token_spans(text, language))


def cut_words(words: Iterable[Range], cuts: Iterable[int]) -> list[Range]:
    """The words, each split where a cut falls inside it."""
    pieces = []
    waiting = sorted(set(cuts), reverse=True)
    for start, end in words:
        while waiting and waiting[-1] < end:
            cut = waiting.pop()
            if cut > start:
                pieces.append((start, cut))
                start = cut
        pieces.append((start, end))
    return pieces


def sentence_starts(text: str, words: Sequence[Range], language: str = "en") -> list[int]:
    """The indices of the words that begin a sentence."""
    from spacy.tokens import Doc

    nlp = _pipeline(language)
    clean = _SURROGATE.sub("\ufffd", text)
    doc = nlp.get_pipe("sentencizer")(Doc(nlp.vocab, words=[clean[s:e] for s, e in words]))
    starts: list[int] = []
    for i, token in enumerate(doc):
        if i and _blank_line(text[words[i - 1][1] : words[i][0]]):
            starts.append(i)
        elif token.is_sent_start:
            starts.append(_before_opening(text, words, i, starts[-1] + 1 if starts else 0))
    return starts


def _sentence(text: str, words: Sequence[Range]) -> Sentence:
    start, end = words[0][0], words[-1][1]
    return Sentence(text[start:end], tuple((s - start, e - start) for s, e in words), start=start)


def _token_spans(text: str, language: str) -> Iterator[Range]:
    from spacy.tokenizer import Tokenizer

    tokenizer = _pipeline(language).tokenizer
    # Same length, so that offsets hold: spaCy refuses lone surrogates, and is slow on long runs.
    clean = masked = _SURROGATE.sub("\ufffd", text)
    by_rules = isinstance(tokenizer, Tokenizer)
    if by_rules:
        masked = _LONG_RUN.sub(lambda run: "x" * len(run[0]), clean)
    for token in tokenizer(masked):
        start, end = token.idx, token.idx + len(token)
        if by_rules and end - start > _LONG:
            yield from (word.span() for word in _LONG_RUN_WORD.finditer(clean, start, end))
        elif not token.is_space:
            yield start, end


def _joined_signs(text: str, tokens: Iterable[Range]) -> list[Range]:
    words: list[Range] = []
    for start, end in tokens:
        if words and words[-1][1] == start and _is_one_sign(text[start - 1], text[start]):
            words[-1] = (words[-1][0], end)
        else:
            words.append((start, end))
    return words


def _is_one_sign(before: str, after: str) -> bool:
    if before == _JOINER or after == _JOINER:
        return True
    return unicodedata.category(after)[0] == "M" or _SKIN_TONES[0] <= after <= _SKIN_TONES[1]


def _blank_line(gap: str) -> bool:
    breaks = gap.replace("\r\n", "\n").replace("\r", "\n").count("\n")
    return breaks > 1 or "\u2029" in gap


def _before_opening(text: str, words: Sequence[Range], index: int, least: int) -> int:
    # The sentencizer leaves the quotation mark that opens a sentence with the one before.
    while index > least:
        start, end = words[index - 1]
        touches_next = end == words[index][0]
        touches_previous = index > 1 and words[index - 2][1] == start
        if text[start:end] not in _OPENING or not touches_next or touches_previous:
            break
        index -= 1
    return index


def _pipeline(language: str) -> Language:
    nlp = _new_pipeline(language)
    if len(nlp.vocab.strings) > _STRINGS_KEPT:
        _new_pipeline.cache_clear()
        nlp = _new_pipeline(language)
    return nlp


@lru_cache(maxsize=8)
def _new_pipeline(language: str) -> Language:
    import spacy

    try:
        nlp = spacy.blank(language)
    except (ImportError, ValueError) as error:
        # spaCy says which package a language such as Japanese needs besides.
        reason = " ".join(str(error).split())
        raise ConfigurationError(
            f"no tokenizer for language {language!r}; give a code such as en, or xx for any "
            f"({reason})"
        ) from error
    if hasattr(nlp.tokenizer, "infix_finditer"):
        infixes = list(_infixes(nlp.Defaults.infixes or ()))
        nlp.tokenizer.infix_finditer = spacy.util.compile_infix_regex(infixes).finditer
    nlp.add_pipe("sentencizer")
    return nlp


def _infixes(rules: Iterable[object]) -> Iterator[str]:
    """The rules for what splits a word in its middle, without the hyphen."""
    for rule in map(str, rules):
        if rule != _HYPHEN_IN_NUMBERS:
            yield rule.replace("(?:-|", "(?:").replace(r"[+\-\*^]", r"[+\*^]")
