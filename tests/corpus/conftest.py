"""Files for the tests of the corpus room."""

import pytest


@pytest.fixture
def written(tmp_path):
    """A function that writes a file of text or bytes and gives its path."""

    def write(content, name="corpus.conll"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A path to write to again and again within a property test."""
    return tmp_path_factory.mktemp("scratch") / "corpus"
