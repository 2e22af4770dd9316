"""What a CRF refuses, and what it says: what came, and what is allowed."""

from collections.abc import Sequence

import torch
from torch import Tensor

UNKNOWN_TAG = -1
"""The tag of a word that nobody labelled. Decoded paths are padded with the same number."""


def check_batch(emissions: Tensor, mask: Tensor, tag_count: int) -> None:
    """Refuse anything but ``emissions`` (B, T, K) and a boolean, left-aligned ``mask`` (B, T)."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        came = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask must be a tensor of torch.bool (True at words), got {came}")
    if emissions.dim() != 3 or emissions.shape[2] != tag_count:
        raise ValueError(
            f"emissions must have the shape (sentences, words, {tag_count} tags), "
            f"got {tuple(emissions.shape)}"
        )
    if not emissions.is_floating_point():
        raise TypeError(f"emissions must be floating-point, got {emissions.dtype}")
    if mask.shape != emissions.shape[:2]:
        raise ValueError(
            f"mask must have the shape {tuple(emissions.shape[:2])} of the emissions, "
            f"got {tuple(mask.shape)}"
        )
    _check_no_hole(mask)


def _check_no_hole(mask: Tensor) -> None:
    begins_again = mask[:, 1:] > mask[:, :-1]
    if not bool(begins_again.any()):
        return
    sentence, word = begins_again.nonzero()[0].tolist()
    raise ValueError(
        f"mask of sentence {sentence} is False at word {word} but True at word {word + 1}; "
        f"allowed: True at all words from the left, then False at padding"
    )


def check_tags(tags: Tensor, mask: Tensor, tag_count: int) -> bool:
    """Refuse anything but ``tags`` (B, T) from -1 to K - 1 at words; whether some are -1."""
    if tags.dtype != torch.long or tags.shape != mask.shape:
        raise ValueError(
            f"tags must be torch.long of the shape {tuple(mask.shape)}, "
            f"got {tags.dtype} of the shape {tuple(tags.shape)}"
        )
    if not tags.numel():
        return False
    low, high = (int(tag) for tag in tags.masked_fill(~mask, 0).aminmax())
    if low < UNKNOWN_TAG or high >= tag_count:
        raise ValueError(
            f"tags at words must be from 0 to {tag_count - 1}, or {UNKNOWN_TAG} for an "
            f"unlabelled word, got {low if low < UNKNOWN_TAG else high}"
        )
    return low == UNKNOWN_TAG


def refuse_forbidden(moved: Tensor, path: Tensor, names: Sequence[str], scheme: str | None) -> None:
    """Refuse gold paths (B, T + 2) with a step of score -inf in ``moved`` (B, T + 1), by name."""
    forbidden = moved == -torch.inf
    if scheme is None or not bool(forbidden.any()):
        return
    sentence, word = forbidden.nonzero()[0].tolist()
    before, after = (names[i] for i in path[sentence, word : word + 2].tolist())
    raise ValueError(
        f"gold tags of sentence {sentence} break the {scheme} constraints: {before} is followed "
        f"by {after} at word {word}; convert the tags to {scheme}, or use constraints=None"
    )


def refuse_impossible(
    log_sums: Tensor, path: Tensor, names: Sequence[str], scheme: str | None
) -> None:
    """Refuse partial labels that no allowed path agrees with: a log-sum (B) of -inf."""
    impossible = log_sums == -torch.inf
    if not bool(impossible.any()):
        return
    sentence = int(impossible.nonzero()[0])
    shown = " ".join(names[i] for i in path[sentence, 1:-1].tolist())
    raise ValueError(f"no {scheme} path agrees with the gold tags of sentence {sentence}: {shown}")
