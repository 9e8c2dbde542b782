"""Every method of Index is reached over HTTP or says why not, and the page of the API is what the server answers."""

from fastapi.testclient import TestClient

import birdsearch
from birdsearch.web.app import make_app
from birdsearch.web.serving import Settings
from tests.support import api_page

# Method of Index -> its routes; "do: NAME" is a kind of job.
OVER_HTTP = {
    "add": ("do: add",),
    "apply": ("do: apply",),
    "audit": ("GET /audit", "do: audit"),
    "classify": ("POST /classify",),
    "classify_many": ("POST /classify/many",),
    "clusters": ("GET /clusters",),
    "correct_names": ("PATCH /names",),
    "count": ("GET /photos",),
    "decide": ("PUT /duplicates/{report_id}/groups/{number}",),
    "decisions": ("GET /duplicates/{report_id}/groups",),
    "duplicate_groups": ("GET /duplicates/{report_id}/groups", "GET /duplicates/{report_id}/groups/{number}"),
    "duplicate_report": ("GET /duplicates/{report_id}",),
    "duplicate_reports": ("GET /duplicates",),
    "duplicates": ("do: duplicates",),
    "duplicates_again": ("DELETE /not-duplicates",),
    "embed": ("POST /embed",),
    "empty_trash": ("do: empty_trash",),
    "evaluate": ("do: evaluate",),
    "explain": ("POST /explain",),
    "export": ("do: export",),
    "failures": ("GET /failures",),
    "generation": ("GET /photos",),
    "info": ("GET /",),
    "label": ("POST /labels", "PUT /photos/{photo_id}/label", "DELETE /photos/{photo_id}/label"),
    "labels": ("GET /labels",),
    "life_list": ("GET /life-list",),
    "map": ("GET /map",),
    "names": ("GET /names",),
    "names_like": ("GET /names/like",),
    "not_duplicates": ("POST /not-duplicates",),
    "open_original": ("GET /photos/{photo_id}/file",),
    "optimize": ("do: optimize",),
    "original": ("GET /photos/{photo_id}/file",),
    "pairs_kept_apart": ("GET /not-duplicates",),
    "photo": ("GET /photos/{photo_id}",),
    "photo_ids": ("GET /photos/ids",),
    "photos": ("GET /photos",),
    "plan": ("GET /duplicates/{report_id}/plan",),
    "preview": ("GET /photos/{photo_id}/preview",),
    "reembed": ("do: reembed",),
    "regions": ("GET /regions",),
    "remove": ("POST /photos/remove",),
    "repair": ("do: repair",),
    "restore_labels": ("POST /labels/restore",),
    "runs": ("GET /runs",),
    "search": ("POST /search", "GET /photos/{photo_id}/similar"),
    "search_many": ("POST /search/many",),
    "search_text": ("POST /search",),
    "search_vectors": ("POST /search", "POST /search/many"),
    "species_report": ("GET /species",),
    "split": ("do: split",),
    "thumbnail": ("GET /photos/{photo_id}/thumbnail",),
    "trash": ("GET /trash",),
    "undo": ("do: undo",),
    "vectors": ("GET /photos/{photo_id}/vector",),
    "verify": ("do: verify",),
}
# Method of Index -> why no route has it.
PYTHON_ALONE = {
    "add_vectors": "who has vectors of their own has them in Python",
    "backbone": "a network is no value",
    "close": "the server closes it",
    "compare_folder": "a card is in the computer where it is compared: birdsearch new",
    "each_photo": "GET /photos has them page by page",
    "evaluate_predictions": "reads a file of the computer",
    "evaluate_split": "reads files of the computer",
    "find": "paths are not asked for over HTTP",
    "import_photos": "reads a file of the computer",
    "label_from": "reads a file of the computer: POST /labels",
    "name": "info says it with the path, and every page",
    "path": "info says it, to the role edit",
    "probabilities": "of all classes, for programs that calibrate",
    "provenance": "for tables of labels that go to other computers",
    "regions_from": "reads a file of the computer",
    "set_names": "reads a file of the computer: PATCH /names",
    "several_species": "photos whose keywords name two species: birdsearch names --several",
    "tags": "of files that only the computer's owner may write: birdsearch tags",
    "to_arrow": "the export as Parquet",
    "write_tags": "writes into the photos' own files: birdsearch tags --apply",
}
OF_THE_SERVER = {  # routes that have no method of Index
    "DELETE /jobs/{job_id}",
    "GET /jobs",
    "GET /jobs/events",
    "GET /jobs/{job_id}",
    "GET /jobs/{job_id}/result",
    "POST /find",  # the boxes of birds in an upload
    "POST /jobs",
    "POST /photos",  # an upload becomes a file, which `add` adds
}


def routes() -> set[str]:
    """Every route of the API, and every kind of job."""
    api = make_app(None, Settings()).openapi()
    assert api["openapi"].startswith("3.1")
    found = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in api["paths"].items()
        for method in methods
    }
    kinds = api["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return found | {f"do: {kind}" for kind in kinds["discriminator"]["mapping"]}


def test_every_method_of_an_index_is_reached_or_says_why_not() -> None:
    methods = {name for name in dir(birdsearch.Index) if not name.startswith("_")}
    assert methods == OVER_HTTP.keys() | PYTHON_ALONE.keys()
    assert not OVER_HTTP.keys() & PYTHON_ALONE.keys()


def test_every_route_is_of_a_method_or_of_the_server() -> None:
    named = {route for routes in OVER_HTTP.values() for route in routes}
    assert routes() == named | OF_THE_SERVER


def test_the_page_of_the_api_is_up_to_date() -> None:
    written = api_page.PAGE.read_text(encoding="utf-8")
    assert written == api_page.made(), f"docs/api.md is stale: run `make docs` ({api_page.COMMAND})"


def test_every_route_says_what_it_does() -> None:
    api = make_app(None, Settings()).openapi()
    said = [operation for methods in api["paths"].values() for operation in methods.values()]
    assert [one["operationId"] for one in said if not one.get("description", "").strip().endswith(".")] == []


def test_a_job_has_the_fields_that_are_described(client: TestClient) -> None:
    described = client.get("/api/v1/openapi.json").json()["components"]["schemas"]["JobSeen"]["properties"]
    assert client.post("/api/v1/jobs", json={"do": "verify"}).json().keys() == described.keys()
