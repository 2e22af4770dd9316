"""Libraries print bars and reports of their own; LlamaNER says what matters itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_OF_NO_USE = {
    # Of weights that are packed for inference, which ours are not (`loading`).
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",
    # Each time that a matrix in 8 bits is used.
    "bitsandbytes.autograd._functions": "MatMul8bitLt: inputs will be cast",
}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No bars and no warnings of Transformers inside."""
    from transformers.utils import logging as untyped

    logging: Any = untyped

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def quiet_bitsandbytes() -> None:
    """From now on two of its warnings, which no user can act upon, are not shown.

    peft imports bitsandbytes wherever it is installed, so call this before either is imported.
    """
    for name in _OF_NO_USE:
        logging.getLogger(name).addFilter(_is_of_use)


def _is_of_use(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_OF_NO_USE[record.name])
