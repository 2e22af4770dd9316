"""What a CRF refuses, and what it says: what came, and what is allowed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from llamaner.tagger.crf.arrays import Array, as_array, as_tensor, namespace

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
    if mask.device != emissions.device:
        raise ValueError(f"mask is on {mask.device}, emissions on {emissions.device}")
    _check_no_hole(as_array(mask))


def _check_no_hole(mask: Array) -> None:
    if mask.all():
        return
    begins_again = mask[:, 1:] > mask[:, :-1]
    if not begins_again.any():
        return
    sentence, word = _first(begins_again)
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
    real = namespace(inside := as_array(mask)).where(inside, as_array(tags), 0)
    low, high = int(real.min()), int(real.max())
    if low < UNKNOWN_TAG or high >= tag_count:
        raise ValueError(
            f"tags at words must be from 0 to {tag_count - 1}, or {UNKNOWN_TAG} for an "
            f"unlabelled word, got {low if low < UNKNOWN_TAG else high}"
        )
    return low == UNKNOWN_TAG


def refuse_forbidden(scores: Array, path: Array, names: Sequence[str], scheme: str | None) -> None:
    """Refuse gold paths (B, T + 2) with a step of -inf in ``scores`` (B, T + 1), by name."""
    forbidden = scores == -torch.inf
    if scheme is None or not forbidden.any():
        return
    sentence, word = _first(forbidden)
    before, after = (names[i] for i in path[sentence, word : word + 2].tolist())
    raise ValueError(
        f"gold tags of sentence {sentence} break the {scheme} constraints: {before} is followed "
        f"by {after} at word {word}; convert the tags to {scheme}, or use constraints=None"
    )


def refuse_impossible(
    log_sums: Tensor, path: Array, names: Sequence[str], scheme: str | None
) -> None:
    """Refuse partial labels that no allowed path agrees with: a log-sum (B) of -inf."""
    impossible = as_array(log_sums) == -torch.inf
    if not impossible.any():
        return
    (sentence,) = _first(impossible)
    shown = " ".join(names[i] for i in path[sentence, 1:-1].tolist())
    raise ValueError(f"no {scheme} path agrees with the gold tags of sentence {sentence}: {shown}")


def _first(true: Array) -> list[int]:
    """Where the first True of ``true`` is."""
    place: list[int] = as_tensor(true).nonzero()[0].tolist()
    return place
