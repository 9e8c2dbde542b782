"""docs/reference.md: the public names of birdsearch, made of their docstrings by griffe2md; `make docs` writes it."""

import re
from typing import Any

import griffe
import griffe2md

import birdsearch
from tests.support import ROOT

REFERENCE = ROOT / "docs" / "reference.md"
COMMAND = "python -m tests.support.reference"

_STYLE: dict[str, Any] = {
    "show_root_full_path": False, "show_root_members_full_path": False, "show_object_full_path": False,
    "show_signature_annotations": True, "members_order": "source", "summary": False, "heading_level": 3,
}  # fmt: skip
_HEAD = """# birdsearch in Python

Made from the docstrings by `make docs`: change those, not this page. All names are in `birdsearch`, the errors in
`birdsearch.errors`; in the examples `index` is an open index.

"""

# A field of a record as griffe2md writes it: a heading, its code and what is said of it.
_FIELD = re.compile(r"#### `\w+`\n\n```python\n(\w+: .*)\n```\n+(?:(?!#)(?!```)(.+)\n+)?")


def _listed(field: re.Match[str]) -> str:
    """The same as one line of a list: a record has many fields, and few words for each."""
    return f"- `{field[1]}`{': ' + field[2] if field[2] else ''}\n"


class _CommentsOfFields(griffe.Extension):
    """What a record's comment says of a field is its docstring."""

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Take the comment behind the field, or the lines of comment above it."""
        if attr.docstring is not None or attr.lineno is None or not isinstance(attr.filepath, type(ROOT)):
            return
        lines = attr.filepath.read_text(encoding="utf-8").splitlines()
        behind = re.search(r"  # (.*)", lines[(attr.endlineno or attr.lineno) - 1])
        above: list[str] = []
        while (line := lines[attr.lineno - 2 - len(above)].strip()).startswith("# "):
            above.insert(0, line.removeprefix("# "))
        if text := behind[1] if behind and not behind[1].startswith(("type:", "noqa")) else " ".join(above):
            attr.docstring = griffe.Docstring(text, parent=attr)


def made() -> str:
    """The reference, as the docstrings have it now."""
    loader = griffe.GriffeLoader(
        search_paths=[ROOT],
        docstring_parser=griffe.Parser("google"),
        extensions=griffe.load_extensions(_CommentsOfFields()),
    )
    package: Any = loader.load("birdsearch")
    loader.resolve_aliases(implicit=True)
    sections: dict[str, list[str]] = {title: [] for title in ("Functions", "Index", "Records", "Errors", "Values")}
    public = {name: package[name] for name in birdsearch.__all__}
    public |= {name: found for name, found in package["errors"].members.items() if name.endswith("Error")}
    for name, found in public.items():
        target = found.final_target if found.is_alias else found
        text = griffe2md.render_object_docs(target, griffe2md.ConfigDict(**{**griffe2md.default_config, **_STYLE}))
        section = _section(name, target)
        if section != "Index":
            text = _FIELD.sub(_listed, text)
        # Some are called otherwise where they are defined.
        text = text.replace(f"### `{target.name}`", f"### `{name}`", 1)
        sections[section].append(re.sub(rf"(?m)^{target.name}(?=\(| = )", name, text, count=1))
    sections["Errors"].sort(key=lambda text: "BirdsearchError" not in text.splitlines()[0])
    parts = [f"## {title}\n\n" + "\n".join(sections[title]) for title in sections if sections[title]]
    return _HEAD + _fenced("\n".join(parts))


def _section(name: str, target: Any) -> str:
    if target.is_function:
        return "Functions"
    if name == "Index":
        return "Index"
    if not target.is_class:
        return "Values"
    return "Errors" if name.endswith("Error") else "Records"


def _fenced(text: str) -> str:
    """Examples as blocks of code, without the marks of doctest; one empty line between two paragraphs."""
    text = re.sub(r"<code>\[(\w+)\]\(.*?\)</code>", r"`\1`", text)  # links to what has no heading of that name
    text = re.sub(r"(?m)^>>> (?:.+\n)+", lambda example: f"```pycon\n{example[0]}```\n", text)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"  # doctest: .*", "", text)).rstrip() + "\n"


if __name__ == "__main__":
    REFERENCE.write_text(made(), encoding="utf-8")
