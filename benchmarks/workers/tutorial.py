"""The loop that tutorials teach: the LLaMA is run for each batch in each epoch.

float32, all blocks, the last layer's states, frozen; padded batches of 32; a BiLSTM, and
pytorch-crf. Each epoch ends with tagging the dev sentences, as ours does.
"""

import random
import time

import torch
from torch import Tensor, nn
from torchcrf import CRF
from transformers import AutoModel, AutoTokenizer
from worker import Contender, Words, read_sentences, serve

BATCH = 32


class LlamaBiLstmCrf(nn.Module):
    def __init__(self, folder: str, tags: int, width: int) -> None:
        super().__init__()
        self.llama = AutoModel.from_pretrained(folder, dtype=torch.float32)
        self.llama.requires_grad_(False)
        self.dropout = nn.Dropout(0.5)
        self.lstm = nn.LSTM(
            self.llama.config.hidden_size, width, bidirectional=True, batch_first=True
        )
        self.linear = nn.Linear(2 * width, tags)
        self.crf = CRF(tags, batch_first=True)

    def forward(self, inputs: dict[str, Tensor], last: Tensor) -> Tensor:
        """Emissions (B, T, K); ``last`` (B, T) is the last subword of each word."""
        with torch.no_grad():
            states = self.llama(**inputs).last_hidden_state
        words = states.gather(1, last[..., None].expand(-1, -1, states.shape[-1]))
        return self.linear(self.dropout(self.lstm(self.dropout(words))[0]))


class Tutorial(Contender):
    def train(self, *, backbone: str, train: str, dev: str, epochs: int, width: int) -> dict:
        """Seconds from the start to the end of each epoch, and its tags of the dev sentences."""
        started = time.perf_counter()
        random.seed(0)
        torch.manual_seed(0)
        sentences, judged = read_sentences(train), read_sentences(dev)
        self.tokenizer = AutoTokenizer.from_pretrained(backbone)
        self.tags = sorted({tag for _, tags in sentences for tag in tags})
        self.model = LlamaBiLstmCrf(backbone, len(self.tags), width)
        learnt = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learnt, lr=1e-3)
        history = []
        for _ in range(epochs):
            random.shuffle(sentences)
            self.model.train()
            for start in range(0, len(sentences), BATCH):
                self._step(sentences[start : start + BATCH], optimizer, learnt)
            found = self._decode([words for words, _ in judged])
            history.append({"at": time.perf_counter() - started, "dev_tags": found})
        return {"history": history, "seconds": time.perf_counter() - started}

    def _step(self, batch: list[tuple[Words, Words]], optimizer: torch.optim.AdamW, learnt) -> None:
        emissions, mask = self._emissions([words for words, _ in batch])
        gold = torch.zeros(mask.shape, dtype=torch.long)
        for row, (_, tags) in enumerate(batch):
            gold[row, : len(tags)] = torch.tensor([self.tags.index(tag) for tag in tags])
        loss = -self.model.crf(emissions, gold, mask, reduction="mean")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learnt, 5.0)
        optimizer.step()

    @torch.no_grad()
    def _decode(self, sentences: list[Words]) -> list[Words]:
        self.model.eval()
        found = []
        for start in range(0, len(sentences), BATCH):
            emissions, mask = self._emissions(sentences[start : start + BATCH])
            paths = self.model.crf.decode(emissions, mask)
            found += [[self.tags[tag] for tag in path] for path in paths]
        return found

    def _emissions(self, sentences: list[Words]) -> tuple[Tensor, Tensor]:
        inputs = self.tokenizer(
            sentences, is_split_into_words=True, padding=True, return_tensors="pt"
        )
        longest = max(map(len, sentences))
        last = torch.zeros(len(sentences), longest, dtype=torch.long)
        mask = torch.zeros(len(sentences), longest, dtype=torch.bool)
        for row, words in enumerate(sentences):
            mask[row, : len(words)] = True
            for place, word in enumerate(inputs.word_ids(row)):
                if word is not None:
                    last[row, word] = place
        return self.model(dict(inputs), last), mask


if __name__ == "__main__":
    serve(Tutorial())
