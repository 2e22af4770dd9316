"""Where a backbone's files are, and the fingerprint of what is in them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from llamaner.backbone.default_model import HUB_ID, LICENCE, default_model_file
from llamaner.errors import BackboneError
from llamaner.locations import from_home
from llamaner.terminal import status

DEFAULT = "default"
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
"""Not every safetensors file: some hubs hold the weights twice, as consolidated.safetensors."""
DESCRIPTIONS = (
    "config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
README = "README.md"
"""Where the hub's models say under which licence they are."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model on this machine: ``path`` is a folder with safetensors, or a GGUF file."""

    path: Path
    known_licence: str | None = None

    @property
    def is_gguf(self) -> bool:
        """Whether the model is one GGUF file."""
        return self.path.is_file()

    def fingerprint(self) -> str:
        """SHA-256 of the weights, configuration and tokenizer files, in hexadecimal digits.

        It does not depend on where the files lie.
        """
        if self.is_gguf:
            return file_sha256(self.path)
        files = {file.name: file_sha256(file) for file in model_files(self.path)}
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()

    def licence(self) -> str | None:
        """The licence as the README.md beside the weights names it, as ``apache-2.0``, if it does.

        Where it calls a licence ``other``, it is that one's name.
        """
        if self.known_licence is not None:
            return self.known_licence
        folder = self.path.parent if self.is_gguf else self.path
        about = _front_matter(folder / README)
        fields = ("license_name", "license") if about.get("license") == "other" else ("license",)
        names = (about[field] for field in fields if isinstance(about.get(field), str))
        return next(names, None)


def _front_matter(readme: Path) -> Mapping[str, Any]:
    """The YAML at the head of a model's README.md; nothing where there is none to be read."""
    from huggingface_hub import metadata_load

    try:
        return metadata_load(readme) or {}
    except (OSError, ValueError, YAMLError):
        return {}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; the hub's cache already names its weights by it."""
    blob = path.resolve().name
    if path.is_symlink() and len(blob) == 64 and set(blob) <= set("0123456789abcdef"):
        return blob
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_files(folder: Path) -> list[Path]:
    """The files of a model folder that change what it computes, sorted by name."""
    found = {path for pattern in (*WEIGHTS, *DESCRIPTIONS) for path in folder.glob(pattern)}
    return sorted(found)


def find_model(model: str, revision: str | None = None) -> ModelSource:
    """The model that ``model`` names: ``default``, a GGUF file, a folder, or a hub id.

    Raises ``BackboneError`` saying what to do where there is none.
    """
    if model == DEFAULT:
        return ModelSource(default_model_file(), known_licence=LICENCE)
    path = from_home(model)
    if path.is_file():
        return ModelSource(_gguf_file(path))
    if path.is_dir():
        return _model_in_folder(path)
    if looks_like_path(model):
        raise BackboneError(f"{model}: there is no such folder or GGUF file")
    return ModelSource(_download(model, revision))


def hub_id(model: str) -> str | None:
    """The hub's model that ``model`` names, or was made of; ``None`` for other folders and files.

    What was a folder on another machine is none of the hub's either.
    """
    if model == DEFAULT:
        return HUB_ID
    elsewhere = looks_like_path(model) or "\\" in model or from_home(model).exists()
    return None if elsewhere else model


def model_name(model: str) -> str:
    """What to call a model where folders of this machine say nothing."""
    return hub_id(model) or re.split(r"[\\/]", model.rstrip("\\/"))[-1]


def looks_like_path(model: str) -> bool:
    """Whether ``model`` cannot be a hub id, which is ``name`` or ``organisation/name``."""
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or model.endswith(".gguf")


def _gguf_file(path: Path) -> Path:
    with path.open("rb") as file:
        if file.read(4) == b"GGUF":
            return path
    raise BackboneError(
        f"{path}: not a GGUF file; give a GGUF file, or a folder with config.json and *.safetensors"
    )


def _model_in_folder(folder: Path) -> ModelSource:
    ggufs = sorted(folder.glob("*.gguf"))
    if (folder / "config.json").is_file() and any(folder.glob(WEIGHTS[0])):
        return ModelSource(folder)
    if len(ggufs) == 1:
        return ModelSource(_gguf_file(ggufs[0]))
    if ggufs:
        names = ", ".join(file.name for file in ggufs)
        raise BackboneError(f"{folder}: holds several GGUF files, name one of them: {names}")
    missing = [
        name
        for name, there in (
            ("config.json", (folder / "config.json").is_file()),
            (WEIGHTS[0], any(folder.glob(WEIGHTS[0]))),
        )
        if not there
    ]
    raise BackboneError(f"{folder}: not a model folder, it lacks {' and '.join(missing)}")


def find_config(model: str, revision: str | None = None) -> Any:
    """The Transformers configuration of the model that ``model`` names; no weights are fetched.

    Raises ``BackboneError`` as ``find_model`` and ``read_config`` do.
    """
    from llamaner.backbone.blocks import read_config

    if model == DEFAULT or from_home(model).exists() or looks_like_path(model):
        return read_config(find_model(model).path)
    from huggingface_hub import hf_hub_download

    with _told_as_backbone_errors(model, revision):
        return read_config(Path(hf_hub_download(model, "config.json", revision=revision)).parent)


def _download(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    patterns = [*WEIGHTS, *DESCRIPTIONS, README]
    with (
        _told_as_backbone_errors(model, revision),
        status(f"looking for {model} on the Hugging Face hub"),
    ):
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    _require(folder, model)
    return folder


@contextmanager
def _told_as_backbone_errors(model: str, revision: str | None) -> Iterator[None]:
    """Tell what the hub refuses, and what to do about it."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise BackboneError(
            f"{model} is gated: accept its licence at https://huggingface.co/{model}, then run "
            "`hf auth login`; or give a local folder"
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError):
        place = model if revision is None else f"{model} at revision {revision}"
        raise BackboneError(
            f"{place} is neither a local folder nor a model of the Hugging Face hub that you may "
            "see; check the name, run `hf auth login` if it is private, or give a local folder"
        ) from None
    except (OSError, errors.HfHubHTTPError) as error:
        reason = str(error).partition("\n")[0]
        raise BackboneError(
            f"{model} cannot be fetched from the Hugging Face hub ({reason}); "
            "check the network, or give a local folder or 'default'"
        ) from None


def _require(folder: Path, model: str) -> None:
    if not any(folder.glob(WEIGHTS[0])):
        raise BackboneError(
            f"{model} has no safetensors weights; convert it, or give a GGUF file of it"
        )
