"""A LLaMA-architecture model as a function *words → vectors*, and the store of what it computed."""

from llamaner.backbone.adapter import Adapter
from llamaner.backbone.assembly import Vectors
from llamaner.backbone.backbone import Backbone
from llamaner.backbone.lower import LowerStates
from llamaner.backbone.plan import Choice, MemoryPlan, plan_memory
from llamaner.backbone.store import Features, FeatureStore, StoreReport

__all__ = [
    "Adapter",
    "Backbone",
    "Choice",
    "FeatureStore",
    "Features",
    "LowerStates",
    "MemoryPlan",
    "StoreReport",
    "Vectors",
    "plan_memory",
]
