"""Requests made from the OpenAPI description, valid ones and others: no fault of the service."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
POSTED = ["/v1/tag", "/v1/tag/stream"]
ASKED = ["/v1/model", "/healthz", "/readyz", "/metrics"]
CASES = [
    *((path, mode) for path in POSTED for mode in GenerationMode),
    # There is nothing in these requests that could be wrong.
    *((path, GenerationMode.POSITIVE) for path in ASKED),
]


@pytest.fixture(scope="module")
def described(service):
    return schemathesis.openapi.from_url(f"{service.address}/openapi.json")


def test_no_path_is_left_out(described):
    assert sorted(described) == sorted([*POSTED, *ASKED])


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_no_request_finds_a_fault(described, path, mode):
    (method,) = described[path]

    @settings(max_examples=25 if method == "post" else 2, suppress_health_check=list(HealthCheck))
    @given(described[path][method].as_strategy(generation_mode=mode))
    def check(case):
        case.call_and_validate(checks=CHECKS)

    check()
