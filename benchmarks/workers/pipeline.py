"""Transformers' token-classification pipeline: a list of texts and a batch size, as documented."""

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    TokenClassificationPipeline,
    pipeline,
)
from worker import Contender, read_sentences, serve

BATCH = 8


def llama(folder: str, labels: list[str]) -> TokenClassificationPipeline:
    """A head with random weights, which favours "O", on the LLaMA in a folder."""
    names = ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]
    config = AutoConfig.from_pretrained(folder, id2label=dict(enumerate(names)))
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_pretrained(
        folder, config=config, dtype=torch.float32
    )
    with torch.no_grad():
        model.score.bias[0] += 100
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return pipeline(
        "token-classification", model, tokenizer=tokenizer, aggregation_strategy="simple"
    )


class Pipeline(Contender):
    def prepare(
        self,
        *,
        model: str,
        data: str,
        labels: list[str] | None = None,
        dtype: str = "float32",
        sentence: str = "",
    ) -> dict:
        self.texts = [" ".join(words) for words, _ in read_sentences(data)]
        self.sentence = sentence
        self.find = (
            llama(model, labels)
            if labels
            else pipeline(
                "token-classification",
                model,
                aggregation_strategy="simple",
                dtype=dtype,
                device="cpu",
            )
        )
        lengths = [len(ids) for ids in self.find.tokenizer(self.texts)["input_ids"]]
        return {
            "transformers": transformers.__version__,
            "parameters": self.find.model.num_parameters(),
            "vocabulary": len(self.find.tokenizer),
            "subwords": sum(lengths),
        }

    def tag(self) -> None:
        self.find(self.texts, batch_size=BATCH)

    def one(self) -> None:
        self.find(self.sentence)


if __name__ == "__main__":
    serve(Pipeline())
