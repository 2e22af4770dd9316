"""The CRF against brute force over all paths, against pytorch-crf, and at its limits."""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torchcrf
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llamaner.tagger.crf import UNKNOWN_TAG, LinearChainCRF

BIO = ["O", "B-X", "I-X", "B-Y", "I-Y"]
BIOES = ["O", "B-X", "I-X", "E-X", "S-X"]
TAG_LISTS: list[tuple[list[str], str | None]] = [
    (BIO, "BIO"),
    (BIO, "IOB1"),
    (BIO, None),
    (BIOES, "BIOES"),
    (BIOES, None),
    (["S-X", "B-X", "E-X", "S-Y"], "BIOES"),
    (["O", "B-X", "B-Y", "I-X"], "BIO"),
    (["O", "B-X", "S-Y"], "BIOES"),  # B-X leads nowhere
    (["O"], "BIOES"),
]


@dataclass
class Case:
    """One sentence alone in a batch, with everything that all its paths say about it."""

    crf: LinearChainCRF
    emissions: Tensor
    mask: Tensor
    tolerance: float

    @property
    def close(self) -> dict[str, float]:
        return {"rtol": self.tolerance, "atol": self.tolerance}

    def paths(self) -> tuple[list[tuple[int, ...]], Tensor]:
        """All the allowed paths, by rules written out a second time, and their scores."""
        count = len(self.crf.tags)
        rows = self.emissions[0].double()
        found, scores = [], []
        start, moves, end = (
            p.detach().double() for p in (self.crf.start, self.crf.transitions, self.crf.end)
        )
        for path in itertools.product(range(count), repeat=len(rows)):
            if not allowed([self.crf.tags[i] for i in path], self.crf.constraints):
                continue
            score = torch.zeros((), dtype=torch.double)
            if path:
                score = start[path[0]] + end[path[-1]]
            for t, tag in enumerate(path):
                score = score + rows[t, tag] + (moves[path[t - 1], tag] if t else 0.0)
            found.append(path)
            scores.append(score)
        return found, torch.stack(scores)


def allowed(names: list[str], scheme: str | None) -> bool:
    """Whether the tags of a whole sentence keep to the scheme, in its textbook wording."""
    if scheme is None:
        return True
    padded = ["O", *names, "O"]
    for before, after in itertools.pairwise(padded):
        if scheme == "BIO" and after[0] == "I" and before not in (f"B{after[1:]}", after):
            return False
        if scheme == "IOB1" and after[0] == "B" and before not in (after, f"I{after[1:]}"):
            return False
        if scheme == "BIOES":
            open_before, open_after = before[0] in "BI", after[0] in "IE"
            if open_before != open_after or (open_before and before[1:] != after[1:]):
                return False
    return True


def entities_of(names: list[str], scheme: str) -> set[tuple[int, int, str]]:
    """Entities (first word, last word, label), read word by word."""
    found, begin = set(), None
    for i, name in enumerate([*names, "O"]):
        prefix, label = name[0], name[2:]
        if begin is not None:
            goes_on = prefix == "I" and label == begin[1]
            if scheme == "BIOES":
                if prefix == "E" and label == begin[1]:
                    found.add((begin[0], i, label))
                    begin = None
                elif not goes_on:
                    begin = None
            elif not goes_on:
                found.add((begin[0], i - 1, begin[1]))
                begin = None
        if prefix == "S":
            found.add((i, i, label))
        elif prefix == "B" or (prefix == "I" and scheme == "IOB1" and begin is None):
            begin = (i, label)
    return found


@st.composite
def cases(draw: st.DrawFn, longest: int = 5, sizes: tuple[float, ...] = (1.0, 5.0, 40.0)) -> Case:
    tags, constraints = draw(st.sampled_from(TAG_LISTS))
    length = draw(st.integers(0, longest + (len(tags) < 5)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    size = draw(st.sampled_from(sizes))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    crf = LinearChainCRF(tags, constraints=constraints).to(dtype)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_(0.0, 1.0, generator=generator)
    emissions = size * torch.randn(1, length, len(tags), generator=generator, dtype=dtype)
    mask = torch.ones(1, length, dtype=torch.bool)
    return Case(crf, emissions, mask, 1e-4 if dtype == torch.float32 else 1e-9)


check = settings(max_examples=60, deadline=None)


@check
@given(cases())
def test_log_partition_and_its_gradients(case: Case) -> None:
    case.emissions.requires_grad_()
    ours = case.crf.log_partition(case.emissions, case.mask)
    paths, scores = case.paths()
    torch.testing.assert_close(ours, scores.logsumexp(0)[None].to(ours.dtype), **case.close)
    probability = (scores - scores.logsumexp(0)).softmax(0).detach()
    expected = expected_counts(paths, probability, len(case.crf.tags), case.emissions.shape[1])
    parameters = (case.emissions, case.crf.start, case.crf.transitions, case.crf.end)
    for grad, count in zip(torch.autograd.grad(ours.sum(), parameters), expected, strict=True):
        torch.testing.assert_close(grad, count.to(grad.dtype).view_as(grad), **case.close)


def expected_counts(
    paths: list[tuple[int, ...]], probability: Tensor, count: int, length: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    words = torch.zeros(length, count, dtype=torch.double)
    pairs = torch.zeros(count, count, dtype=torch.double)
    for path, p in zip(paths, probability, strict=True):
        for t, tag in enumerate(path):
            words[t, tag] += p
            if t:
                pairs[path[t - 1], tag] += p
    nothing = torch.zeros(count, dtype=torch.double)
    return words, words[0] if length else nothing, pairs, words[-1] if length else nothing


@check
@given(cases())
def test_marginals(case: Case) -> None:
    ours = case.crf.marginals(case.emissions, case.mask)
    paths, scores = case.paths()
    probability, count = scores.softmax(0).detach(), len(case.crf.tags)
    length = case.emissions.shape[1]
    words = expected_counts(paths, probability, count, length)[0]
    torch.testing.assert_close(ours.tags[0], words.to(ours.tags.dtype), **case.close)
    assert ours.transitions.shape == (1, max(0, length - 1), count, count)
    for t in range(1, length):
        pairs = torch.zeros(count, count, dtype=torch.double)
        for path, p in zip(paths, probability, strict=True):
            pairs[path[t - 1], path[t]] += p
        got = ours.transitions[0, t - 1]
        torch.testing.assert_close(got, pairs.to(got.dtype), **case.close)


@check
@given(cases(), st.data())
def test_log_likelihood_with_unlabelled_words(case: Case, data: st.DataObject) -> None:
    paths, scores = case.paths()
    gold = data.draw(st.sampled_from(paths))
    known = data.draw(st.lists(st.booleans(), min_size=len(gold), max_size=len(gold)))
    partial = [tag if k else UNKNOWN_TAG for tag, k in zip(gold, known, strict=True)]
    agrees = torch.tensor(
        [all(p in (UNKNOWN_TAG, q) for p, q in zip(partial, path, strict=True)) for path in paths]
    )
    expected = scores[agrees].logsumexp(0) - scores.logsumexp(0)
    tags = torch.tensor([partial], dtype=torch.long)
    ours = case.crf.log_likelihood(case.emissions, tags, case.mask)
    torch.testing.assert_close(ours, expected[None].to(ours.dtype), **case.close)


@check
@given(cases(), st.integers(1, 6))
def test_viterbi_and_k_best(case: Case, k: int) -> None:
    paths, scores = case.paths()
    best, score = case.crf.viterbi_with_scores(case.emissions, case.mask)
    ours = case.crf.k_best(case.emissions, case.mask, k)
    by_path = dict(zip(paths, scores, strict=True))
    ranked = scores.sort(descending=True).values[:k]
    close = {"rtol": 1e-6, "atol": case.tolerance}
    torch.testing.assert_close(score, ranked[:1].to(score.dtype), **close)
    torch.testing.assert_close(by_path[tuple(best[0].tolist())], ranked[0], **close)
    assert torch.equal(best, case.crf.viterbi(case.emissions, case.mask))
    found = [tuple(path) for path in ours.paths[0, : len(ranked)].tolist()]
    assert len(set(found)) == len(ranked)
    torch.testing.assert_close(ours.scores[0, : len(ranked)], ranked.to(score.dtype), **close)
    torch.testing.assert_close(torch.stack([by_path[path] for path in found]), ranked, **close)
    assert (ours.scores[0, len(ranked) :] == -torch.inf).all()
    assert (ours.paths[0, len(ranked) :] == -1).all()


@check
@given(cases())
def test_entity_confidence(case: Case) -> None:
    tags, length = case.crf.tags, case.emissions.shape[1]
    labels = sorted({tag[2:] for tag in tags if tag != "O"})
    scheme = case.crf.constraints or ("BIOES" if tags == tuple(BIOES) else "BIO")
    paths, scores = case.paths()
    probability = scores.softmax(0)
    spans = [(i, j, x) for i in range(length) for j in range(i, length) for x in labels]
    expected = torch.zeros(len(spans), dtype=torch.double)
    for path, p in zip(paths, probability, strict=True):
        for entity in entities_of([tags[i] for i in path], scheme):
            expected[spans.index(entity)] += p
    ours = case.crf.entity_confidence(case.emissions, case.mask, [(0, *span) for span in spans])
    torch.testing.assert_close(ours, expected.to(ours.dtype), **case.close)


@pytest.mark.parametrize("constraints", [None, "BIOES"])
@pytest.mark.parametrize("size", [1.0, 300.0])
def test_gradcheck(constraints: str | None, size: float) -> None:
    torch.manual_seed(0)
    crf = LinearChainCRF(BIOES, constraints=constraints).double()
    emissions = (size * torch.randn(3, 4, 5).double()).requires_grad_()
    lengths = torch.tensor([4, 0, 2])
    mask = torch.arange(4) < lengths[:, None]
    gold = torch.tensor([[1, 2, 3, 0], [0, 0, 0, 0], [0, 4, 0, 0]])
    partial = torch.tensor([[1, -1, -1, 0], [0, 0, 0, 0], [-1, -1, 0, 0]])

    def run(emissions: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return tuple(crf.log_likelihood(emissions, tags, mask) for tags in (gold, partial))

    assert torch.autograd.gradcheck(run, (emissions, *crf.parameters()), eps=1e-5, atol=1e-5)


def like_theirs(count: int) -> tuple[LinearChainCRF, torchcrf.CRF]:
    theirs = torchcrf.CRF(count, batch_first=True)
    ours = LinearChainCRF([f"tag{i}" for i in range(count)], constraints=None)
    with torch.no_grad():
        ours.start.copy_(theirs.start_transitions)
        ours.transitions.copy_(theirs.transitions)
        ours.end.copy_(theirs.end_transitions)
    return ours, theirs


def test_agrees_with_pytorch_crf() -> None:
    torch.manual_seed(0)
    ours, theirs = like_theirs(9)
    emissions = torch.randn(8, 30, 9, requires_grad=True)
    mask = torch.arange(30) < torch.randint(1, 31, (8, 1))
    tags = torch.randint(9, (8, 30))
    a = ours.log_likelihood(emissions, tags, mask)
    b = theirs(emissions, tags, mask, reduction="none")
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    ours_of = (emissions, ours.start, ours.transitions, ours.end)
    theirs_of = (
        emissions,
        theirs.start_transitions,
        theirs.transitions,
        theirs.end_transitions,
    )
    grads = zip(
        torch.autograd.grad(a.sum(), ours_of), torch.autograd.grad(b.sum(), theirs_of), strict=True
    )
    for x, y in grads:
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)
    decoded = [path[path >= 0].tolist() for path in ours.viterbi(emissions, mask)]
    assert decoded == theirs.decode(emissions, mask)


def test_samples_have_the_marginals_and_keep_to_the_constraints() -> None:
    torch.manual_seed(0)
    crf = LinearChainCRF(BIOES)
    emissions = torch.randn(3, 5, 5)
    mask = torch.arange(5) < torch.tensor([[5], [2], [0]])
    n = 20_000
    drawn = crf.sample(emissions, mask, n, torch.Generator().manual_seed(1))
    again = crf.sample(emissions, mask, n, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again)
    assert drawn.shape == (3, n, 5)
    assert ((drawn == -1) == ~mask[:, None]).all()
    frequency = torch.stack([(drawn == tag).float().mean(1) for tag in range(5)], -1)
    marginals = crf.marginals(emissions, mask)
    assert (frequency - marginals.tags).abs().max() < 5 * math.sqrt(0.25 / n)
    pairs = torch.zeros(5, 5)
    pairs.index_put_((drawn[0, :, 1], drawn[0, :, 2]), torch.tensor(1.0 / n), accumulate=True)
    assert (pairs - marginals.transitions[0, 1]).abs().max() < 5 * math.sqrt(0.25 / n)
    assert all(
        allowed([BIOES[tag] for tag in path.tolist()], "BIOES") for path in drawn[0].unique(dim=0)
    )


def test_the_example_in_the_docs_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "crf.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/crf.md", "exec"), names)
    assert names["emissions"].grad is not None
    assert names["drawn"].shape == (2, 100, 4)
    assert ((names["confidence"] > 0) & (names["confidence"] < 1)).all()
