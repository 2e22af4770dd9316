"""A LLaMA-architecture model as a function *words → vectors*, and the store of what it computed."""

from llamaner.backbone.backbone import Backbone, Vectors
from llamaner.backbone.plan import Choice, MemoryPlan, plan_memory
from llamaner.backbone.store import Features, FeatureStore, StoreReport

__all__ = [
    "Backbone",
    "Choice",
    "FeatureStore",
    "Features",
    "MemoryPlan",
    "StoreReport",
    "Vectors",
    "plan_memory",
]
