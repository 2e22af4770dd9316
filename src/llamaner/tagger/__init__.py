"""Layer mix, BiLSTM, CRF, and the tagger that they make with a backbone."""

from llamaner.tagger.crf import LinearChainCRF
from llamaner.tagger.ner_tagger import NerTagger
from llamaner.tagger.network import BiLstmCrf, WordBatch
from llamaner.tagger.shipped import shipped_tagger

__all__ = ["BiLstmCrf", "LinearChainCRF", "NerTagger", "WordBatch", "shipped_tagger"]
