"""docs/reference.md is what the docstrings say, and they say enough."""

import inspect
from typing import Any

import birdsearch
from tests.support import reference


def test_the_reference_is_up_to_date() -> None:
    written = reference.REFERENCE.read_text(encoding="utf-8")
    assert written == reference.made(), f"docs/reference.md is stale: run `make docs` ({reference.COMMAND})"


def test_every_public_name_is_in_the_reference() -> None:
    written = reference.REFERENCE.read_text(encoding="utf-8")
    assert [name for name in birdsearch.__all__ if f"### `{name}`" not in written] == []


def test_every_public_docstring_has_a_sentence() -> None:
    bare = [name for name, member in public_members() if not inspect.getdoc(member)]
    assert bare == []


def public_members() -> list[tuple[str, Any]]:
    """Functions, classes and methods of Index that users call."""
    found = [(name, getattr(birdsearch, name)) for name in birdsearch.__all__]
    found += [(f"Index.{name}", member) for name, member in vars(birdsearch.Index).items() if not name.startswith("_")]
    return [
        (name, member) for name, member in found if inspect.isroutine(member) or isinstance(member, type | property)
    ]
