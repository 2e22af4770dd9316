"""BERT through ONNX Runtime: batches of 8 texts, the label of each subword, nothing more."""

from pathlib import Path

import onnxruntime
from transformers import AutoTokenizer
from worker import Contender, read_sentences, serve, threads

BATCH = 8


class OnnxBert(Contender):
    def prepare(self, *, model: str, data: str, file: str, sentence: str = "") -> dict:
        self.texts = [" ".join(words) for words, _ in read_sentences(data)]
        self.sentence = sentence
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        self.session = onnxruntime.InferenceSession(
            str(Path(model, file)), options, providers=["CPUExecutionProvider"]
        )
        return {"onnxruntime": onnxruntime.__version__}

    def tag(self) -> None:
        for start in range(0, len(self.texts), BATCH):
            self._labels(self.texts[start : start + BATCH])

    def one(self) -> None:
        self._labels([self.sentence])

    def _labels(self, texts: list[str]) -> list[list[int]]:
        batch = self.tokenizer(texts, padding=True, return_tensors="np")
        (logits,) = self.session.run(None, dict(batch))
        return logits.argmax(-1).tolist()


if __name__ == "__main__":
    serve(OnnxBert())
