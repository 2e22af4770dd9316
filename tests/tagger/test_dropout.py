"""What is dropped while a network learns, and what is not."""

import pytest
import torch

from llamaner.tagger.dropout import Dropout


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_so_many_are_dropped_and_the_others_make_up_for_them(
    share: float, kind: torch.dtype
) -> None:
    torch.manual_seed(0)
    values = torch.ones(401, 503, dtype=kind)
    found = Dropout(share)(values)
    assert found.dtype == kind
    assert found.shape == values.shape
    assert (found == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    kept = found[found != 0].unique()
    assert kept.tolist() == pytest.approx([1 / (1 - share)], rel=0.01)


def test_gradients_go_through_what_was_kept() -> None:
    torch.manual_seed(0)
    values = torch.randn(30, 7, requires_grad=True)
    found = Dropout(0.5)(values)
    found.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad * values, found)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(100_000)) != 0).float() - 0.5
    for distance in range(1, 9):
        assert (kept[distance:] * kept[:-distance]).mean().abs() < 0.004


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_nothing_is_dropped_once_it_has_learnt(share: float) -> None:
    values = torch.randn(5, 3)
    assert torch.equal(Dropout(share).eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values)


def test_the_seed_decides() -> None:
    values, drawn = torch.ones(99), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(Dropout(0.5)(values))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
