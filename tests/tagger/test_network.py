"""The network: layer mix, characters of words of any length, and no influence of the batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from llamaner.configuration import HeadSettings
from llamaner.tagger.characters import Alphabet, CharacterCnn
from llamaner.tagger.layer_mix import LayerMix, LayerProjection
from llamaner.tagger.network import BiLstmCrf, WordBatch

TAGS = ["O", "B-X", "I-X", "E-X", "S-X"]
WORDS = [["EU", "rejects", "it"], ["x"], ["a", "very", "very", "long", "sentence", "here"]]


@pytest.fixture
def network():
    torch.manual_seed(0)
    settings = HeadSettings(lstm_width=8, character_width=6)
    return BiLstmCrf(TAGS, layers=2, width=5, alphabet_size=30, settings=settings).eval()


def batch_of(sentences, seed=0):
    alphabet = Alphabet("abcdefghijklmnopqrstuvwxyz")
    vectors = [torch.randn(len(s), 2, 5, generator=_seeded(f"{seed}{s}")) for s in sentences]
    return WordBatch(
        torch.cat(vectors),
        alphabet.spell(word for sentence in sentences for word in sentence),
        torch.tensor([len(sentence) for sentence in sentences]),
    )


def _seeded(text):
    return torch.Generator().manual_seed(sum(map(ord, text)))


def test_the_mix_is_a_softmax_weighted_sum():
    mix = LayerMix(3)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.0, 1.0, 2.0]))
        mix.gamma.fill_(1.5)
    vectors = torch.randn(4, 3, 5)
    shares = torch.tensor([0.0, 1.0, 2.0]).softmax(0)
    expected = 1.5 * sum(shares[i] * vectors[:, i] for i in range(3))
    torch.testing.assert_close(mix(vectors), expected)
    assert mix(vectors.half()).dtype == torch.float32


def test_the_projection_is_a_linear_map_of_all_layers():
    projection = LayerProjection(3, 5)
    vectors = torch.randn(4, 3, 5)
    parts = projection.projection.weight.reshape(5, 3, 5)
    expected = sum(vectors[:, i] @ parts[:, i].T for i in range(3)) + projection.projection.bias
    torch.testing.assert_close(projection(vectors), expected)
    assert projection(vectors.half()).shape == (4, 5)


@given(st.lists(st.text(alphabet="abcxyzé", min_size=1, max_size=9), min_size=1, max_size=8))
def test_characters_equal_a_padded_convolution_of_each_word(words):
    torch.manual_seed(0)
    alphabet = Alphabet("abcxy")
    cnn = CharacterCnn(len(alphabet), 6)
    found = cnn(alphabet.spell(words))
    for row, word in zip(found, words, strict=True):
        ids = alphabet.spell([word]).ids
        padded = cnn.embedding(nn.functional.pad(ids, (1, 1))).T[None]
        answers = nn.functional.conv1d(padded, cnn.filters.weight, cnn.filters.bias)
        torch.testing.assert_close(row[None], answers.amax(2), atol=1e-5, rtol=1e-5)


@given(st.text(max_size=9), st.lists(st.text(max_size=6), max_size=8))
def test_each_distinct_word_is_spelled_once_in_the_alphabets_order(known, words):
    alphabet = Alphabet(list(dict.fromkeys(known)))
    spelled = alphabet.spell(words)
    distinct = list(dict.fromkeys(words))
    numbers = {character: i + 2 for i, character in enumerate(alphabet.characters)}
    expected = [[0, *(numbers.get(character, 1) for character in w), 0] for w in distinct]
    assert spelled.ids.tolist() == [number for word in expected for number in word]
    assert spelled.lengths.tolist() == [len(word) for word in expected]
    assert [distinct[i] for i in spelled.words.int().tolist()] == words


@pytest.mark.parametrize("unknown", ["\ud800", "\U0010ffff", "\0"])
def test_characters_outside_the_alphabet_are_one_unknown_character(unknown):
    spelled = Alphabet("za").spell([f"a{unknown}z", ""])
    assert spelled.ids.tolist() == [0, 3, 1, 2, 0, 0, 0]


def test_a_word_of_10_000_characters_is_read_to_its_end():
    alphabet = Alphabet("ab")
    cnn = CharacterCnn(len(alphabet), 6)
    long = "a" * 10_000
    assert not torch.equal(*cnn(alphabet.spell([long, long[:-1] + "b"])))


def test_gradients_are_the_same_to_the_bit_each_time():
    alphabet = Alphabet("abcdefgh")
    torch.manual_seed(0)
    cnn = CharacterCnn(len(alphabet), 64)
    words = alphabet.spell(["a", "the", "bed", "a"] * 700)
    weights = torch.randn(2800, 64)
    found = []
    for _ in range(20):
        cnn.zero_grad()
        (cnn(words) * weights).sum().backward()
        found.append(cnn.filters.weight.grad.clone())
    assert all(torch.equal(found[0], other) for other in found)


def test_the_alphabet_knows_what_occurs_twice():
    assert Alphabet.of(["abba", "c"]).characters == ("a", "b")


def test_a_sentence_has_the_same_scores_in_any_company(network):
    together = network.emissions(batch_of(WORDS))
    for row, sentence in enumerate(WORDS):
        alone = network.emissions(batch_of([sentence]))[0]
        torch.testing.assert_close(together[row, : len(sentence)], alone)


def test_the_loss_is_the_mean_negative_log_likelihood(network):
    batch = batch_of(WORDS)
    tags = torch.zeros(3, 6, dtype=torch.long)
    expected = [
        -network.crf.log_likelihood(
            network.emissions(batch_of([s])), tags[:1, : len(s)], torch.ones(1, len(s)).bool()
        )
        for s in WORDS
    ]
    torch.testing.assert_close(network.loss(batch, tags), torch.cat(expected).mean())


@pytest.mark.parametrize("layer_mix", ["sum", "projection"])
def test_every_parameter_learns(layer_mix):
    settings = HeadSettings(lstm_width=8, character_width=6, layer_mix=layer_mix)
    network = BiLstmCrf(TAGS, layers=2, width=5, alphabet_size=30, settings=settings)
    network.loss(batch_of(WORDS), torch.zeros(3, 6, dtype=torch.long)).backward()
    # The last tag of a sentence is O here, so every end score but O's may stay without gradient.
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_words_are_dropped_only_in_training(network):
    network.word_dropout = 0.9
    batch = batch_of(WORDS)
    torch.testing.assert_close(network.emissions(batch), network.emissions(batch))
    network.train()
    assert not torch.equal(network.emissions(batch), network.emissions(batch))


def test_without_characters():
    settings = HeadSettings(lstm_width=4, character_width=0)
    network = BiLstmCrf(TAGS, layers=2, width=5, alphabet_size=30, settings=settings)
    assert network.characters is None
    assert network.emissions(batch_of(WORDS)).shape == (3, 6, 5)


def test_lower_precision_learns_nearly_the_same(network):
    batch = batch_of(WORDS)
    tags = torch.zeros(batch.mask().shape, dtype=torch.long)
    losses, gradients = [], []
    for precision in (torch.float32, torch.bfloat16):
        network.zero_grad()
        loss = network.loss(batch, tags, precision)
        loss.backward()
        assert loss.dtype == torch.float32
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert gradients[1].dtype == torch.float32
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99
