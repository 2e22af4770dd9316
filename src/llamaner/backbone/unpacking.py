"""GGUF files, unpacked once into a folder of safetensors.

Transformers parses a GGUF file three times in Python and de-quantises all of it, each time a
process starts. From the unpacked folder only the blocks that are used are read, in about a second.
"""

from __future__ import annotations

import io
import os
import shutil
from contextlib import redirect_stderr
from pathlib import Path

from filelock import FileLock

from llamaner.backbone.gguf_weights import GgufWeights, write_shards
from llamaner.backbone.quiet import quiet_transformers
from llamaner.errors import BackboneError
from llamaner.files import sync_files
from llamaner.locations import cache_folder
from llamaner.terminal import status


def unpacked_gguf(file: Path, fingerprint: str) -> Path:
    """The folder that holds ``file`` as float16 safetensors with its configuration and tokenizer.

    De-quantised weights lose at most 2^-11 of their value in float16, far below the
    quantisation's own error. Raises ``BackboneError`` for a file that Transformers cannot read,
    and where the cache folder cannot be written.
    """
    folder = cache_folder() / "unpacked" / fingerprint[:32]
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                with status(f"unpacking {file.name} (once)"):
                    _unpack(file, folder)
    except OSError as error:
        raise BackboneError(
            f"{folder.parent}: cannot be written ({error.strerror or error}); choose another cache "
            "folder by LLAMANER_CACHE"
        ) from error
    return folder


def _unpack(file: Path, folder: Path) -> None:
    """Make ``folder``, whole or not at all; call it with the lock held."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        _convert(file, part)
        sync_files(part)
        os.replace(part, folder)
    except (OSError, BackboneError):
        raise
    except Exception as error:
        # The loaders raise whatever they stumble over in a file that is damaged or of another kind.
        raise BackboneError(f"{file}: cannot be unpacked as a LLaMA model ({error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _convert(file: Path, folder: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    # The loader's own bar takes no notice of Transformers' settings.
    with quiet_transformers(), redirect_stderr(io.StringIO()):
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
        config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    weights = GgufWeights(file, config)
    write_shards(weights, folder)
    weights.finish_config().save_pretrained(folder)
