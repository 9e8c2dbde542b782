"""The API does what its OpenAPI says: no 500, no status that is not documented, whatever is asked."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi import checks

from birdsearch import Index
from birdsearch.web import problems
from birdsearch.web.app import make_app
from birdsearch.web.serving import Settings
from tests.web.test_jobs import until

pytestmark = pytest.mark.slow

EXAMPLES = 8  # of each route, method and kind of question
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@pytest.fixture
def fuzzed(own: Index) -> Iterator[Any]:
    """The schema of an app that others reach: they name no folder of this computer."""
    served = Settings(host="192.168.1.2")
    app = make_app(own, served)
    app.openapi_schema = without_tuples(app.openapi())
    headers = {"Authorization": f"Bearer {served.keys.edit}", "Host": "127.0.0.1"}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=headers)
    schema.config.update(headers=headers, base_url="http://127.0.0.1")
    yield schema.exclude(path="/api/v1/jobs/events")  # has no end
    jobs = app.state.serving.jobs
    until(lambda: [one for one in jobs.all() if one.ended is None], lambda waiting: not waiting)
    wrong = [error for one in jobs.all() if (error := jobs.outcome(one.id)[1]) is not None]
    assert [error for error in wrong if not isinstance(error, problems.KNOWN)] == []
    app.state.serving.close()
    assert own.verify().ok


def without_tuples(schema: Any) -> Any:
    """A schema in which tuples are lists of one kind: schemathesis makes invalid ones of `prefixItems`."""
    if isinstance(schema, list):
        return [without_tuples(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: without_tuples(one) for name, one in schema.items() if name != "prefixItems"}
    return plain | ({"items": without_tuples(schema["prefixItems"][0])} if "prefixItems" in schema else {})


def test_every_answer_is_documented(fuzzed: Any) -> None:
    operations = [found.ok() for found in fuzzed.get_all_operations()]
    assert len(operations) > 40
    for operation in operations:
        asked = False
        for mode in schemathesis.GenerationMode:  # what the schema allows, and what it does not
            with suppress(Unsatisfiable):  # nothing can be wrong about a question without parameters
                ask(operation.as_strategy(generation_mode=mode))
                asked = True
        assert asked, operation.path


def ask(cases: Any) -> None:
    """Ask in so many ways, every time the same ones; most speak of photos that are there."""

    @seed(14)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def once(case: Any) -> None:
        photo_id = (case.path_parameters or {}).get("photo_id")
        if isinstance(photo_id, int) and photo_id % 3:
            case.path_parameters["photo_id"] = 1 + photo_id % 6
        if isinstance(case.body, dict) and isinstance(case.body.get("photo"), int):
            case.body["photo"] = 1 + case.body["photo"] % 6
        case.call_and_validate(checks=CHECKS)

    once()
