"""docs/api.md: the HTTP API, made of the app's OpenAPI; `make docs` writes it."""

from collections.abc import Iterator
from typing import Any

from birdsearch.web.api.asked import FilterQuery
from birdsearch.web.app import make_app
from birdsearch.web.problems import EVERYWHERE
from birdsearch.web.serving import Settings
from tests.support import ROOT

PAGE = ROOT / "docs" / "api.md"
COMMAND = "python -m tests.support.api_page"

_HEAD = """# birdsearch over HTTP

Made from the OpenAPI of the server by `make docs`: change `birdsearch/web/api/`, not this page. `birdsearch serve`
answers at `/api/v1`; `/api/v1/openapi.json` is the same for programs. Words mean what they mean in Python: see
[reference.md](reference.md) for the records, and [threat-model.md](threat-model.md) for who may do what.

- **Keys.** `Authorization: Bearer KEY`. `birdsearch serve` says which file holds the two keys: `edit` may do
  everything, `view` looks and asks, and learns neither positions, nor serial numbers, nor absolute paths.
- **Errors** are `application/problem+json` (RFC 9457): `type` leads to `/help/errors`, `detail` says what happened,
  where, and what to do next, `errors` point into what was sent.
- **Filters** are query parameters with the names of the fields of `Filter`: `species`, `label` and `predicted` (several
  times for any of several), `min_probability`, `taken_after`, `taken_before`, `camera`, `min_width`; with the key
  `edit` also `near=LAT,LON,KM` and `under=FOLDER`; `where` is a whole filter in JSON, as bodies have it.
- **Pages.** A list answers `next`; ask again with `after=` that. `Accept: application/x-ndjson` gives all at once, a
  line each; `Accept: application/octet-stream` gives ids as uint32 and vectors as float32, the lowest octet first.
- **ETag.** Lists have one that holds until the next commit: send it as `If-None-Match` and get 304.
- **Jobs.** What takes long answers 202 and a job: watch `/jobs/events`, or ask `/jobs/ID`; then `/jobs/ID/result`.
"""


def made() -> str:
    """The page, as the app is now."""
    api = make_app(None, Settings()).openapi()
    sections: dict[str, list[str]] = {}
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            text = "\n".join(_operation(method, path.removeprefix("/api/v1"), operation, api))
            sections.setdefault(operation["tags"][0], []).append(text)
    parts = [f"## {tag.capitalize()}\n\n" + "\n".join(texts) for tag, texts in sections.items()]
    return _HEAD + "\n" + "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any], api: dict[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} {path}\n"
    yield operation["description"] + "\n"
    query = [one for one in operation.get("parameters", []) if one["in"] == "query"]
    if any(one["name"] == "where" for one in query):
        yield "- the fields of a filter"
    for one in query:
        if one["name"] not in FilterQuery.model_fields:
            yield _field(one["name"], one["schema"], one.get("required", False), one.get("description"))
    body = operation.get("requestBody", {}).get("content", {})
    if {"multipart/form-data", "application/json"} <= body.keys():
        yield "- body: `multipart/form-data` with `image` and `question` (JSON of the fields below), or that JSON alone"
    elif "multipart/form-data" in body:
        yield "- body: `multipart/form-data`"
    described = body.get("application/json") or body.get("multipart/form-data", {})
    for schema in _alternatives(described.get("schema", {}), api):
        if "properties" not in schema:
            yield f"- body: {_type(schema)}: {schema['description']}"
        if "do" in schema.get("properties", {}):
            yield f'- `do: "{schema["properties"]["do"]["const"]}"`: {schema["description"].splitlines()[0]}'
        for name, field in schema.get("properties", {}).items():
            if name != "do":
                indent = "  " if "do" in schema["properties"] else ""
                yield indent + _field(name, field, name in schema.get("required", ()), None)
    kinds = [kind for status, said in operation["responses"].items() if status < "3" for kind in _kinds(said, api)]
    yield f"- answers: {', '.join(dict.fromkeys(kinds)) or 'nothing'}"
    others = [status for status in operation["responses"] if int(status) not in EVERYWHERE and status > "202"]
    yield f"- also: {', '.join(others)}\n" if others else ""


def _field(name: str, schema: dict[str, Any], required: bool, said: str | None) -> str:
    words = said or schema.get("description")
    default = schema.get("default")
    shown = "" if required or default in (None, [], "") else f", default {default}"
    return f"- `{name}` ({_type(schema)}{', required' if required else ''}{shown})" + (f": {words}" if words else "")


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _name(schema)
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object":
        return f"{{{', '.join(schema['properties'])}}}" if "properties" in schema else "object"
    if schema.get("contentMediaType") == "application/octet-stream":
        return "file"
    return {"integer": "whole number", "number": "number", "string": "text", "boolean": "true | false"}.get(
        schema.get("type", ""), "anything"
    )


def _name(schema: dict[str, Any]) -> str:
    """The record that a schema refers to; one that is read and sent has two schemas, of which the name says which."""
    return str(schema["$ref"].rpartition("/")[2]).removesuffix("-Output")


def _alternatives(schema: dict[str, Any], api: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of a body: one, or one for each kind of job."""
    if "oneOf" in schema:
        return [found for one in schema["oneOf"] for found in _alternatives(one, api)]
    if "$ref" in schema:
        return [api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]]
    return [schema] if schema else []


def _kinds(said: dict[str, Any], api: dict[str, Any]) -> Iterator[str]:
    """What an answer is: its record with its fields, or its kind of file."""
    for media, content in said.get("content", {}).items():
        schema = content.get("schema", {})
        if media != "application/json":
            yield f"`{media}`"
        elif "$ref" in schema:
            found = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            yield f"{_name(schema)} `{{{', '.join(found.get('properties', {}))}}}`"
        else:
            yield _type(schema)


if __name__ == "__main__":
    PAGE.write_text(made(), encoding="utf-8")
