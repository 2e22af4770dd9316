"""An exact linear-chain CRF that depends on PyTorch and NumPy alone; see docs/crf.md."""

from llamaner.tagger.crf.checks import UNKNOWN_TAG
from llamaner.tagger.crf.entities import EntityPlace
from llamaner.tagger.crf.linear_chain import KBest, LinearChainCRF, Marginals

__all__ = ["UNKNOWN_TAG", "EntityPlace", "KBest", "LinearChainCRF", "Marginals"]
