"""How a template becomes a page, and which files pages load."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from birdsearch.export.html.pictures import text
from birdsearch.records import bytes_text, counted, date_text, percent
from birdsearch.web.serving import Serving

HERE = Path(__file__).parent
STATIC = HERE / "static"
# Address -> word of the bar on top of each page; the key g and a letter go there.
NAV = {
    "/photos": "Photos", "/ask": "Ask", "/duplicates": "Duplicates", "/audit": "Audit", "/names": "Names",
    "/species": "Species", "/map": "Map", "/jobs": "Jobs", "/help": "Help",
}  # fmt: skip


def page(request: Request, name: str, *, status: int = 200, **values: Any) -> Response:
    """A page from a template of this package; every value in it is escaped."""
    state = request.app.state.serving
    serving = Serving(state, request.scope.get("state", {}).get("role") or "")
    index = state.index if serving.role else None  # a stranger learns nothing of it
    context = {
        "nav": NAV if serving.role else {}, "here": request.scope["path"], "serving": serving,
        "index_name": text(index.name) if index is not None else None,
        "index_id": state.index_id if index is not None else None, **values,
    }  # fmt: skip
    return _templates().TemplateResponse(request, name, context, status_code=status)


@lru_cache
def _templates() -> Jinja2Templates:
    """The templates of this package, which may use the macros of those of `export.html`."""
    reports = HERE.parent / "export" / "html" / "templates"
    environment = Environment(
        loader=FileSystemLoader([HERE / "templates", reports]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = static
    environment.filters |= {
        "text": text, "date": date_text, "percent": percent, "bytes": bytes_text, "counted": counted
    }  # fmt: skip
    return Jinja2Templates(env=environment)


def static(name: str) -> str:
    """The address of a file of `static`, another one where any of those files has changed."""
    return f"/static/{name}?v={version()}"


@lru_cache
def version() -> str:
    """What the files of `static` are, in ten letters."""
    digest = hashlib.sha256()
    for file in sorted(path for path in STATIC.rglob("*") if path.is_file()):
        digest.update(file.relative_to(STATIC).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:10]
