"""The weights of a GGUF file, de-quantised one after another.

The file is memory-mapped, and no more than a shard of float16 weights is in memory at a time. Names
and layouts are those that Transformers' own loader brings them to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llamaner.backbone.loading import decoder_class
from llamaner.errors import BackboneError

_SHARD_BYTES = 128 << 20
_ROWS_BYTES = 4 << 20

HEAD, ROPE = "output.weight", "rope_freqs.weight"
"""The language-model head, which is not used, and Llama 3's rotary frequencies."""


class GgufWeights:
    """Names and float16 weights of the decoder in a GGUF file, in the file's order.

    Raises ``BackboneError`` for a file with weights that the decoder has no place for, or lacks.
    """

    def __init__(self, file: Path, config: Any) -> None:
        from gguf import GGUFReader
        from transformers import modeling_gguf_pytorch_utils as untyped

        transformers_gguf: Any = untyped
        self._file, self._config = file, config
        self._reader = GGUFReader(file)
        (architecture,) = transformers_gguf.read_field(self._reader, "general.architecture")
        key = f"{architecture}.attention.key_length"
        if size := transformers_gguf.read_field(self._reader, key):
            # Transformers reads it for some architectures, and takes a default for others.
            config.head_dim = int(size[0])
        plain = transformers_gguf.TensorProcessor
        processor = transformers_gguf.TENSOR_PROCESSORS.get(architecture, plain)
        self._processor: Any = processor(config=config.to_dict())
        with torch.device("meta"):
            decoder = decoder_class(config)(config)
        self._names: dict[str, str] = transformers_gguf.get_gguf_hf_weights_map(
            decoder, self._processor
        )
        self._require_all(set(decoder.state_dict()))

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        for tensor in self._reader.tensors:
            if name := self._names.get(tensor.name):
                values = _dequantised(tensor)
                values = self._processor.process(weights=values, name=tensor.name).weights
                half = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float16))
                if not half.isfinite().all():
                    raise BackboneError(f"{self._file}: holds weights that float16 cannot hold")
                yield name, half

    def finish_config(self) -> Any:
        """The configuration, with what only the weights tell."""
        self._config.dtype = torch.float16
        if hasattr(self._config, "quantization_config"):
            del self._config.quantization_config
        for tensor in self._reader.tensors:
            if tensor.name == ROPE:
                _set_llama3_rope(self._config, np.asarray(tensor.data), self._file)
        return self._config

    def _require_all(self, expected: set[str]) -> None:
        there = {tensor.name for tensor in self._reader.tensors}
        unknown = sorted(there - self._names.keys() - {HEAD, ROPE})
        missing = sorted(expected - {self._names[name] for name in there & self._names.keys()})
        if unknown or missing:
            fault = f"no place for {unknown[0]}" if unknown else f"no {missing[0]}"
            raise BackboneError(
                f"{self._file}: cannot be read as {self._config.model_type} ({fault}); give a "
                "folder with safetensors"
            )


def write_shards(weights: GgufWeights, folder: Path) -> None:
    """Write safetensors of some 128 MiB, and the index that finds each weight."""
    shard: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    for name, tensor in weights:
        shard[name] = tensor
        if sum(t.nbytes for t in shard.values()) >= _SHARD_BYTES:
            _flush(shard, places, folder)
    _flush(shard, places, folder)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _flush(shard: dict[str, Tensor], places: dict[str, str], folder: Path) -> None:
    from safetensors.torch import save_file

    if shard:
        file = f"model-{len(set(places.values())) + 1:05d}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        places.update(dict.fromkeys(shard, file))
        shard.clear()


def _dequantised(tensor: Any) -> npt.NDArray[Any]:
    """Vectors in float32, since some are stored with an offset; matrices in float16.

    Matrices are de-quantised some rows at a time: in float32 an embedding alone may take gigabytes.
    """
    from gguf import dequantize

    shape = tuple(int(size) for size in reversed(tensor.shape))
    if len(shape) < 2:
        vector: npt.NDArray[Any] = dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        return vector
    values = np.empty(shape, dtype=np.float16)
    rows = max(1, _ROWS_BYTES // (4 * int(np.prod(shape[1:]))))
    with np.errstate(over="ignore"):
        for start in range(0, shape[0], rows):
            part = tensor.data[start : start + rows]
            values[start : start + rows] = dequantize(part, tensor.tensor_type).reshape(
                -1, *shape[1:]
            )
    return values


def _set_llama3_rope(config: Any, factors: npt.NDArray[Any], file: Path) -> None:
    """Tell the configuration how Llama 3 slows its rotary frequencies, which GGUF keeps as weights.

    Raises ``BackboneError`` where the factors are not those of Llama 3.1 to 3.3.
    """
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    plain = {"rope_type": "default", "rope_theta": config.rope_parameters["rope_theta"]}
    config.rope_parameters = {
        **plain,
        "rope_type": "llama3",
        "factor": float(factors.max()),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    slowed, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    exponents = torch.arange(0, 2 * len(slowed), 2).float() / (2 * len(slowed))
    expected = plain["rope_theta"] ** -exponents / torch.from_numpy(factors.astype(np.float32))
    if not torch.allclose(slowed, expected, rtol=1e-3):
        raise BackboneError(f"{file}: its rotary frequencies are of an unknown kind")
