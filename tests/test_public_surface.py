"""What is public is listed, exists and is documented."""

import importlib
import inspect

import pytest

ROOMS = ["", ".backbone", ".corpus", ".evaluation", ".service", ".tagger", ".training"]


@pytest.mark.parametrize("room", ROOMS)
def test_all_names_exist_sorted_and_documented(room):
    module = importlib.import_module(f"llamaner{room}")
    names = [name for name in module.__all__ if not name.startswith("__")]
    assert names == sorted(names)
    for name in names:
        found = getattr(module, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert inspect.getdoc(found), name
