"""Whatever is sent: no 500, and no answer but those of the OpenAPI document (schemathesis, a real server)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import positive_data_acceptance
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.schemas import OpenApiSchema

from running_api import RunningApi
from running_app import TOKEN
from statelessnf.api.app import make_app
from statelessnf.api.flows import NETWORK_FORMAT

pytestmark = pytest.mark.beside

EXAMPLES = 120


@pytest.fixture(scope="module")
def server() -> Iterator[RunningApi]:
    with RunningApi() as running:
        running.face.ended = True  # streams end after what there is
        yield running


schemathesis.openapi.format(NETWORK_FORMAT, st.ip_addresses().map(str))


@pytest.fixture(scope="module")
def described(server: RunningApi) -> OpenApiSchema:
    return schemathesis.openapi.from_dict(make_app(server.face, TOKEN, server.records).openapi())


def cases(described: OpenApiSchema) -> st.SearchStrategy[schemathesis.Case[Any]]:
    """Requests to any operation, as documented and not as documented."""
    operations = [found.ok() for found in described.get_all_operations() if isinstance(found, Ok)]
    return st.one_of(
        [operation.as_strategy(generation_mode=mode) for operation in operations for mode in GenerationMode]
    )


def test_what_is_documented_is_true(described: OpenApiSchema, server: RunningApi) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[hypothesis.Phase.generate]
    )
    @hypothesis.given(cases(described))
    def check(case: schemathesis.Case[Any]) -> None:
        excluded = [positive_data_acceptance] if case.path == "/deployment" else []  # not every text is a deployment
        headers = {"Authorization": f"Bearer {TOKEN}"}
        case.call_and_validate(base_url=server.url, headers=headers, excluded_checks=excluded)

    check()
