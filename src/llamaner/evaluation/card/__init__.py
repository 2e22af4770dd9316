"""The model card: README.md in a tagger's folder, as people and the Hugging Face hub read it."""

from llamaner.evaluation.card.card import make_card, write_card

__all__ = ["make_card", "write_card"]
