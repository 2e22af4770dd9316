"""Make a BERT with random weights and a WordPiece tokenizer trained on a corpus.

    python bert.py base FOLDER DATA [--onnx]

With --onnx it is exported, as it is and with its matrices in int8 (dynamic quantisation).
No model hub is needed: speed does not depend on the weights. "O" is favoured, so that the pipeline
finds few entities.
"""

import argparse
from pathlib import Path

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast
from worker import read_sentences

SIZES = {
    "base": {},
    "large": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
}
LABELS = ["O", *(f"{prefix}-{label}" for label in ("LOC", "MISC", "ORG", "PER") for prefix in "BI")]
VOCABULARY = 30_522


def tokenizer_of(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]"))
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def export(model: BertForTokenClassification, path: Path) -> None:
    ids = torch.ones(2, 16, dtype=torch.long)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {0: "batch", 1: "subwords"}
    torch.onnx.export(
        model,
        (ids, ids, torch.zeros_like(ids)),
        str(path),
        input_names=names,
        output_names=["logits"],
        dynamic_axes=dict.fromkeys([*names, "logits"], axes),
        dynamo=False,
        opset_version=17,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("data")
    parser.add_argument("--onnx", action="store_true")
    options = parser.parse_args()
    texts = [" ".join(words) for words, _ in read_sentences(options.data)]
    tokenizer = tokenizer_of(texts)
    tokenizer.save_pretrained(options.folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
        **SIZES[options.size],
    )
    model = BertForTokenClassification(config).eval()
    with torch.no_grad():
        model.classifier.bias[0] += 10
    model.save_pretrained(options.folder)
    if options.onnx:
        from onnxruntime.quantization import quantize_dynamic

        export(model, options.folder / "model.onnx")
        quantize_dynamic(options.folder / "model.onnx", options.folder / "model-int8.onnx")


if __name__ == "__main__":
    main()
