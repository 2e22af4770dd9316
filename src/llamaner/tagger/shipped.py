"""The trained tagger that comes with the package."""

from __future__ import annotations

from pathlib import Path

from llamaner.errors import TaggerError

NAME = "conll2003-en"
_PACKAGE = Path(__file__).parents[1]


def shipped_tagger() -> Path:
    """Its folder: in an installed package beside the code, in a checkout at the top.

    Raises ``TaggerError`` where it was left out.
    """
    for models in (_PACKAGE / "models", _PACKAGE.parents[1] / "models"):
        if (models / NAME / "config.json").is_file():
            return models / NAME
    raise TaggerError(
        f"the tagger {NAME} is not in this installation; name the folder of another one, as "
        "--model FOLDER"
    )
