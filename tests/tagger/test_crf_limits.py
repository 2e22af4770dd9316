"""The CRF at its limits: long sentences, large scores, half precision, padding, refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llamaner.tagger.crf import UNKNOWN_TAG, LinearChainCRF
from llamaner.tagger.crf.arrays import as_array
from llamaner.tagger.crf.constraints import build_constraints
from llamaner.tagger.crf.forward_backward import (
    LogMessages,
    ScaledMessages,
    scaling_period,
)
from llamaner.tagger.crf.potentials import make_potentials

BIOES = ["O", "B-X", "I-X", "E-X", "S-X"]


def all_words(emissions: Tensor) -> Tensor:
    return torch.ones(emissions.shape[:2], dtype=torch.bool)


def plain_log_partition(crf: LinearChainCRF, emissions: Tensor) -> Tensor:
    """The textbook recursion in float64 under autograd, forbidden steps left out one by one."""
    allowed = build_constraints(crf.tags, crf.constraints)
    words = emissions[0].double()
    alpha = [
        crf.start[j].double() + words[0, j] if allowed.start[j] else None
        for j in range(len(crf.tags))
    ]
    for word in words[1:]:
        arrivals = [
            [
                a + crf.transitions[i, j]
                for i, a in enumerate(alpha)
                if a is not None and allowed.transitions[i, j]
            ]
            for j in range(len(crf.tags))
        ]
        alpha = [
            torch.stack(a).logsumexp(0) + word[j] if a else None for j, a in enumerate(arrivals)
        ]
    final = [a + crf.end[j] for j, a in enumerate(alpha) if a is not None and allowed.end[j]]
    return torch.stack(final).logsumexp(0)


@pytest.mark.parametrize("constraints", [None, "BIOES"])
@pytest.mark.parametrize("size", [2.0, 20.0, 1e4])
def test_ten_thousand_words(constraints: str | None, size: float) -> None:
    torch.manual_seed(0)
    crf = LinearChainCRF(BIOES, constraints=constraints)
    emissions = ((torch.rand(1, 10_000, 5) * 2 - 1) * size).requires_grad_()
    mask = all_words(emissions)
    gold = crf.viterbi(emissions, mask)
    likelihood = crf.log_likelihood(emissions, gold, mask)
    likelihood.backward()
    with torch.no_grad():
        score = float(crf.viterbi_with_scores(emissions.double(), mask)[1])
        log_z = float(crf.log_partition(emissions.double(), mask))
    assert likelihood.item() == pytest.approx(score - log_z, rel=1e-5, abs=1e-4)
    assert likelihood.item() <= 0.0
    marginals = crf.marginals(emissions, mask).tags
    torch.testing.assert_close(marginals.sum(-1), torch.ones(1, 10_000), rtol=0, atol=1e-5)
    one_hot = torch.nn.functional.one_hot(gold, 5).float()
    torch.testing.assert_close(emissions.grad, one_hot - marginals, rtol=0, atol=1e-5)
    assert all(torch.isfinite(parameter.grad).all() for parameter in crf.parameters())


@pytest.mark.parametrize("size", [1.0, 30.0, 80.0, 1e4])
@pytest.mark.parametrize("scores", [1.0, 1e4])
def test_large_scores_have_the_right_gradient(size: float, scores: float) -> None:
    torch.manual_seed(0)
    crf = LinearChainCRF(BIOES)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.uniform_(-scores, scores)
    emissions = ((torch.rand(1, 40, 5) * 2 - 1) * size).requires_grad_()
    ours = crf.log_partition(emissions, all_words(emissions))
    plain = plain_log_partition(crf, emissions)
    torch.testing.assert_close(ours[0].double(), plain, rtol=1e-6, atol=1e-4)
    inputs = (emissions, *crf.parameters())
    grads = zip(
        torch.autograd.grad(ours.sum(), inputs), torch.autograd.grad(plain, inputs), strict=True
    )
    for a, b in grads:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 400.0), st.sampled_from([None, "BIOES", "BIO"]))
def test_scaled_and_log_messages_agree_wherever_scaling_is_allowed(
    seed: int, size: float, constraints: str | None
) -> None:
    """Emissions at both extremes of their range at random: the worst that the bound admits."""
    generator = torch.Generator().manual_seed(seed)
    tags = [tag for tag in BIOES if constraints != "BIO" or tag[0] in "OBI"]
    crf = LinearChainCRF(tags, constraints=constraints)
    sides = torch.randint(0, 2, (2, 40, len(tags)), generator=generator)
    emissions = (sides * size).double()
    mask = torch.arange(40) < torch.tensor([[40], [17]])
    potentials = make_potentials(emissions, crf._scores(), as_array(mask))
    period = scaling_period(potentials, crf._mixing)
    assert period or size > 40.0
    if not period:
        return
    scaled, logs = ScaledMessages(potentials, period), LogMessages(potentials)
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(scaled.log_z, logs.log_z, **close)
    inside = potentials.mask
    torch.testing.assert_close(scaled.alpha()[inside], logs.alpha()[inside], **close)
    torch.testing.assert_close(scaled.beta()[inside], logs.beta()[inside], **close)
    weights = torch.tensor([1.0, -2.0]).double()
    a, b = scaled.expectations(weights), logs.expectations(weights)
    torch.testing.assert_close(a.words, b.words, **close)
    torch.testing.assert_close(a.scores, b.scores, **close)


@pytest.mark.parametrize("size", [1e4, float("nan"), float("inf")])
def test_scaling_is_refused_for_scores_out_of_range(size: float) -> None:
    crf = LinearChainCRF(BIOES)
    emissions = torch.zeros(1, 3, 5)
    emissions[0, 1, 2] = size
    potentials = make_potentials(emissions, crf._scores(), as_array(all_words(emissions)))
    assert scaling_period(potentials, crf._mixing) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_emissions_are_computed_in_full(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    crf = LinearChainCRF(BIOES)
    half = (30 * torch.randn(2, 50, 5)).to(dtype).requires_grad_()
    full = half.detach().float().requires_grad_()
    mask = all_words(half)
    gold = torch.zeros(2, 50, dtype=torch.long)
    a, b = crf.log_likelihood(half, gold, mask), crf.log_likelihood(full, gold, mask)
    assert a.dtype == torch.float32
    assert torch.equal(a, b)
    a.sum().backward()
    b.sum().backward()
    assert half.grad.dtype == dtype
    torch.testing.assert_close(half.grad, full.grad.to(dtype))
    assert torch.equal(crf.viterbi(half, mask), crf.viterbi(full, mask))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(crf.log_likelihood(full, gold, mask), b)


def results(crf: LinearChainCRF, emissions: Tensor, tags: Tensor, mask: Tensor) -> list[Tensor]:
    """Everything the CRF says, one row a sentence, cut where ``mask`` ends."""
    emissions = emissions.clone().requires_grad_()
    likelihood = crf.log_likelihood(emissions, tags, mask)
    (grad,) = torch.autograd.grad(likelihood.sum(), emissions)
    marginals = crf.marginals(emissions, mask)
    best = crf.k_best(emissions, mask, 3)
    path, score = crf.viterbi_with_scores(emissions, mask)
    partition = crf.log_partition(emissions, mask)
    by_sentence = [likelihood, partition, score, best.scores]
    by_word = [grad, marginals.tags, path, best.paths.transpose(1, 2)]
    return by_sentence + by_word


@pytest.mark.parametrize("size", [3.0, 500.0])
@pytest.mark.parametrize("constraints", [None, "BIOES"])
@pytest.mark.parametrize("partial", [False, True])
def test_batch_equals_each_sentence_alone_whatever_the_padding(
    size: float, constraints: str | None, partial: bool
) -> None:
    torch.manual_seed(0)
    crf = LinearChainCRF(BIOES, constraints=constraints)
    lengths = [7, 0, 1, 10, 2, 3]
    emissions = size * torch.randn(len(lengths), 10, 5)
    mask = torch.arange(10) < torch.tensor(lengths)[:, None]
    tags = crf.sample(emissions, mask, 1)[:, 0]
    if partial:
        tags[3, 2:5] = UNKNOWN_TAG
    expected = results(crf, emissions, tags, mask)
    for padding in (float("nan"), float("inf"), -1e30):
        padded = emissions.masked_fill(~mask[..., None], padding)
        odd_tags = tags.masked_fill(~mask, -100)
        for a, b in zip(results(crf, padded, odd_tags, mask), expected, strict=True):
            assert torch.equal(a, b)
    for i, length in enumerate(lengths):
        cut = slice(i, i + 1), slice(0, length)
        alone = results(crf, emissions[cut], tags[cut], mask[cut])
        for k, (a, b) in enumerate(zip(alone, expected, strict=True)):
            inside = b[cut[0]] if k < 4 else b[cut]
            torch.testing.assert_close(a, inside, rtol=1e-5, atol=1e-5)
    entities = [(0, 2, 4, "X"), (3, 0, 9, "X"), (2, 0, 0, "X"), (4, 0, 0, "X")]
    together = crf.entity_confidence(emissions, mask, entities)
    for entity, confidence in zip(entities, together, strict=True):
        i, *rest = entity
        cut = slice(i, i + 1), slice(0, lengths[i])
        alone = crf.entity_confidence(emissions[cut], mask[cut], [(0, *rest)])
        torch.testing.assert_close(alone[0], confidence, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("sentences", "words"), [(0, 0), (0, 4), (3, 0), (3, 4)])
def test_empty_batches_and_sentences(sentences: int, words: int) -> None:
    crf = LinearChainCRF(BIOES)
    emissions = torch.randn(sentences, words, 5, requires_grad=True)
    mask = torch.zeros(sentences, words, dtype=torch.bool)
    likelihood = crf.log_likelihood(emissions, torch.zeros_like(mask).long(), mask)
    likelihood.sum().backward()
    assert torch.equal(likelihood, torch.zeros(sentences))
    assert (emissions.grad == 0).all()
    assert all((p.grad == 0).all() for p in crf.parameters())
    assert torch.equal(crf.log_partition(emissions, mask), torch.zeros(sentences))
    assert torch.equal(crf.viterbi(emissions, mask), torch.full((sentences, words), -1))
    best = crf.k_best(emissions, mask, 2)
    assert best.scores.tolist() == [[0.0, -torch.inf]] * sentences
    assert crf.sample(emissions, mask, 2).shape == (sentences, 2, words)
    marginals = crf.marginals(emissions, mask)
    assert marginals.tags.shape == (sentences, words, 5)
    assert marginals.transitions.shape == (sentences, max(0, words - 1), 5, 5)
    assert crf.entity_confidence(emissions, mask, []).shape == (0,)


def test_masks_that_are_not_left_aligned_booleans_are_refused() -> None:
    crf = LinearChainCRF(BIOES)
    emissions, tags = torch.zeros(2, 3, 5), torch.zeros(2, 3, dtype=torch.long)
    hole = torch.tensor([[True, True, True], [True, False, True]])
    for call in (crf.viterbi, crf.log_partition, crf.marginals):
        with pytest.raises(ValueError, match=r"sentence 1 is False at word 1 but True at word 2"):
            call(emissions, hole)
    with pytest.raises(ValueError, match="allowed: True at all words from the left"):
        crf.log_likelihood(emissions, tags, torch.tensor([[False, True, True]] * 2))
    for mask in (hole.float(), hole.long(), hole.to(torch.uint8), hole.tolist()):
        with pytest.raises(TypeError, match=r"mask must be a tensor of torch\.bool"):
            crf.viterbi(emissions, mask)


@pytest.mark.parametrize(
    ("emissions", "tags", "mask", "says"),
    [
        ((2, 3, 4), (2, 3), (2, 3), "5 tags"),
        ((3, 5), (2, 3), (2, 3), "5 tags"),
        ((2, 3, 5), (2, 3), (2, 4), r"\(2, 3\) of the emissions"),
        ((2, 3, 5), (2, 2), (2, 3), r"torch.long of the shape \(2, 3\)"),
    ],
)
def test_wrong_shapes_are_refused(
    emissions: tuple[int, ...], tags: tuple[int, ...], mask: tuple[int, ...], says: str
) -> None:
    crf = LinearChainCRF(BIOES)
    with pytest.raises(ValueError, match=says):
        crf.log_likelihood(
            torch.zeros(emissions), torch.zeros(tags).long(), torch.ones(mask, dtype=torch.bool)
        )


@pytest.mark.parametrize(
    ("constraints", "names", "says"),
    [
        ("BIOES", ["O", "I-X", "E-X"], "O is followed by I-X at word 1"),
        ("BIOES", ["E-X", "O", "O"], "the sentence's edge is followed by E-X at word 0"),
        ("BIOES", ["O", "O", "B-X"], "B-X is followed by the sentence's edge at word 3"),
        ("BIOES", ["B-X", "?", "O"], None),
        ("BIOES", ["B-X", "?", "I-X"], "I-X is followed by the sentence's edge"),
        ("BIOES", ["B-X", "?", "B-X"], "B-X is followed by the sentence's edge"),
        ("BIOES", ["?", "O", "I-X"], "O is followed by I-X"),
        ("BIO", ["O", "I-X", "O"], "O is followed by I-X at word 1"),
        ("IOB1", ["O", "B-X", "O"], "O is followed by B-X at word 1"),
        ("IOB1", ["I-X", "B-X", "O"], None),
        (None, ["O", "I-X", "E-X"], None),
    ],
)
def test_gold_tags_against_the_constraints_are_refused_by_name(
    constraints: str | None, names: list[str], says: str | None
) -> None:
    tags = BIOES if constraints in (None, "BIOES") else ["O", "B-X", "I-X"]
    crf = LinearChainCRF(tags, constraints=constraints)
    numbers = [tags.index(name) if name != "?" else UNKNOWN_TAG for name in names]
    gold = torch.tensor([[0, 0, 0], numbers])
    emissions = torch.zeros(2, 3, len(tags))
    if says is None:
        assert torch.isfinite(crf.log_likelihood(emissions, gold, all_words(emissions))).all()
        return
    with pytest.raises(ValueError, match=f"sentence 1 .*{says}"):
        crf.log_likelihood(emissions, gold, all_words(emissions))


def test_partial_labels_that_no_path_agrees_with_are_refused() -> None:
    tags = ["O", "B-X", "I-X", "E-X", "B-Y", "I-Y", "E-Y"]
    crf = LinearChainCRF(tags)
    gold = torch.tensor([[tags.index("B-X"), UNKNOWN_TAG, tags.index("E-Y")]])
    with pytest.raises(ValueError, match=r"no BIOES path agrees .* sentence 0: B-X \? E-Y"):
        crf.log_likelihood(torch.zeros(1, 3, 7), gold, torch.ones(1, 3, dtype=torch.bool))


def test_tags_that_lead_nowhere_are_never_used() -> None:
    crf = LinearChainCRF(["O", "B-X", "S-Y"])
    emissions = torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match="O is followed by B-X at word 1"):
        crf.log_likelihood(emissions, torch.tensor([[0, 1]]), all_words(emissions))
    expected = torch.tensor([0.5, 0.0, 0.5])
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.zero_()
    torch.testing.assert_close(
        crf.marginals(emissions, all_words(emissions)).tags[0], expected.expand(2, 3)
    )


@pytest.mark.parametrize("wrong", [-2, 5])
def test_tag_numbers_out_of_range_are_refused(wrong: int) -> None:
    crf = LinearChainCRF(BIOES)
    with pytest.raises(ValueError, match=f"from 0 to 4, or -1 .* got {wrong}"):
        crf.log_likelihood(
            torch.zeros(1, 1, 5), torch.tensor([[wrong]]), torch.ones(1, 1, dtype=torch.bool)
        )


@pytest.mark.parametrize(
    ("tags", "constraints", "says"),
    [
        (["B-X", "I-X"], "BIOES", "no BIOES path"),
        (["B-X", "E-X"], "BIOES", "no BIOES path"),
        (["I-X"], "BIO", "no BIO path"),
        (["B-X"], "IOB1", "no IOB1 path"),
        (["O", "S-X"], "BIO", "'S-X' is not a BIO tag; allowed: O, B-<label>, I-<label>"),
        (["O", "X"], "BIOES", "'X' is not a BIOES tag"),
        (["O", "B-"], "BIOES", "'B-' is not a BIOES tag"),
        (["O", "O"], "BIO", "more than once"),
        ([], "BIO", "non-empty"),
        ("O", "BIO", "non-empty"),
        (["O"], "IOB2", "must be one of"),
    ],
)
def test_unusable_tag_lists_are_refused(tags: list[str], constraints: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LinearChainCRF(tags, constraints=constraints)


@pytest.mark.parametrize(
    ("entity", "says"),
    [
        ((0, 0, 0, "Y"), "labels: \\['X'\\]"),
        ((1, 0, 0, "X"), "outside the 1 sentences"),
        ((0, 1, 0, "X"), "first word <= last word"),
        ((0, 1, 2, "X"), "< 2, the number of words"),
    ],
)
def test_entities_outside_the_batch_are_refused(
    entity: tuple[int, int, int, str], says: str
) -> None:
    crf = LinearChainCRF(BIOES)
    mask = torch.tensor([[True, True, False]])
    with pytest.raises(ValueError, match=says):
        crf.entity_confidence(torch.zeros(1, 3, 5), mask, [entity])


def test_impossible_paths_have_no_probability_and_no_gradient() -> None:
    torch.manual_seed(0)
    crf = LinearChainCRF(BIOES)
    with torch.no_grad():
        crf.transitions[0, 2] = 1e4  # O before I-X: forbidden, whatever its score
    emissions = torch.randn(4, 12, 5, requires_grad=True)
    mask = all_words(emissions)
    forbidden = ~build_constraints(BIOES, "BIOES").transitions
    assert (crf.marginals(emissions, mask).transitions[..., forbidden] == 0).all()
    crf.log_likelihood(emissions, torch.zeros(4, 12).long(), mask).sum().backward()
    assert (crf.transitions.grad[forbidden] == 0).all()
    assert (crf.transitions.grad[~forbidden] != 0).all()


def test_constraints_are_rebuilt_not_saved() -> None:
    crf = LinearChainCRF(BIOES)
    assert set(crf.state_dict()) == {"start", "transitions", "end"}
    assert "5 tags, constraints='BIOES'" in repr(crf)
    other = LinearChainCRF(BIOES, constraints=None)
    other.load_state_dict(crf.state_dict())
    assert torch.equal(other.transitions, crf.transitions)
