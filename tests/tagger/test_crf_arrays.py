"""The CRF in NumPy, as it runs on the CPU, against the same code in PyTorch, as elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llamaner.tagger.crf import UNKNOWN_TAG, LinearChainCRF, arrays

BIO = ["O", "B-X", "I-X", "B-Y", "I-Y"]
BIOES = ["O", "B-X", "I-X", "E-X", "S-X", "S-Y"]


@contextmanager
def pytorch_alone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "NUMPY_ON_CPU", False)
        yield


@dataclass
class Batch:
    crf: LinearChainCRF
    emissions: Tensor
    tags: Tensor
    mask: Tensor

    def everything(self) -> list[Tensor]:
        """All that the CRF can be asked, gradients included."""
        crf, mask = self.crf, self.mask
        emissions = self.emissions.clone().requires_grad_()
        inputs = (emissions, *crf.parameters())
        found = []
        weights = torch.arange(1.0, len(mask) + 1)
        likelihood = crf.log_likelihood(emissions, self.tags, mask)
        partition = crf.log_partition(emissions, mask)
        for sums in (likelihood, partition):
            found += [sums, *torch.autograd.grad((sums * weights).sum(), inputs)]
        marginals, best = crf.marginals(emissions, mask), crf.k_best(emissions, mask, 2)
        found += [marginals.tags, marginals.transitions, best.paths, best.scores]
        entities = [(i, 0, int(n) - 1, "X") for i, n in enumerate(mask.sum(1)) if n]
        found += [crf.entity_confidence(emissions, mask, entities)]
        generator = torch.Generator().manual_seed(0)
        found += [crf.sample(emissions, mask, 3, generator)]
        return [*found, *crf.viterbi_with_scores(emissions, mask)]


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    tags, constraints = draw(
        st.sampled_from([(BIO, "BIO"), (BIO, "IOB1"), (BIOES, "BIOES"), (BIOES, None)])
    )
    full = st.tuples(st.integers(1, 4), st.integers(0, 9)).map(lambda size: [size[1]] * size[0])
    lengths = draw(st.one_of(full, st.lists(st.integers(0, 9), min_size=1, max_size=5)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    size = draw(st.sampled_from([1.0, 20.0, 500.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    crf = LinearChainCRF(tags, constraints=constraints)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_(generator=generator)
    words = max(lengths) + draw(st.integers(0, 2))
    mask = torch.arange(words) < torch.tensor(lengths)[:, None]
    shape = (len(lengths), words, len(tags))
    emissions = (size * torch.randn(shape, generator=generator)).to(dtype)
    emissions[~mask] = draw(st.sampled_from([0.0, float("nan"), float("inf")]))
    gold = crf.sample(emissions, mask, 1, generator)[:, 0]
    if draw(st.booleans()):
        unlabelled = torch.rand(gold.shape, generator=generator) < 0.4
        gold[unlabelled] = UNKNOWN_TAG
    return Batch(crf, emissions, gold, mask)


@settings(max_examples=60, deadline=None)
@given(batches())
def test_numpy_and_pytorch_agree(batch: Batch) -> None:
    on_arrays = batch.everything()
    with pytorch_alone():
        on_tensors = batch.everything()
    for ours, other in zip(on_arrays, on_tensors, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-6, atol=1e-6)
    best, paths = on_arrays[-2], on_arrays[-6][:, 0]
    assert torch.equal(best, paths)


def test_on_the_cpu_an_array_is_the_numpy_view_of_a_tensor() -> None:
    tensor = torch.zeros(2)
    view = arrays.as_array(tensor)
    view[0] = 5.0
    assert tensor.tolist() == [5.0, 0.0]
    assert not isinstance(view, Tensor)
    with pytorch_alone():
        assert isinstance(arrays.as_array(tensor), Tensor)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_scores_that_are_no_numbers_raise_no_warning(value: float) -> None:
    crf = LinearChainCRF(BIOES)
    emissions = torch.zeros(2, 3, 6)
    emissions[0, 1, 2] = value
    mask = torch.ones(2, 3, dtype=torch.bool)
    assert crf.viterbi(emissions, mask).shape == (2, 3)
    assert not torch.isinf(crf.log_partition(emissions, mask)[1])


def test_a_mask_on_another_device_is_refused() -> None:
    mask = torch.ones(1, 2, dtype=torch.bool, device="meta")
    with pytest.raises(ValueError, match="mask is on meta, emissions on cpu"):
        LinearChainCRF(BIOES).viterbi(torch.zeros(1, 2, 6), mask)
