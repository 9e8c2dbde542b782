"""Who may come in: the name that is called, the page that asks, the key and its role; and what every answer carries."""

import ipaddress
import logging
import time
from asyncio import wait_for
from urllib.parse import parse_qs

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from birdsearch.records import shown
from birdsearch.web import problems
from birdsearch.web.keys import EDIT
from birdsearch.web.rendering import page
from birdsearch.web.serving import Settings

logger = logging.getLogger("birdsearch")

MOST_BYTES = 64 << 20  # of a body
_LONGEST_FORM = 4096  # of a form with a key
MOST_SECONDS = 60.0  # in which a body has to come
_YEAR = 365 * 24 * 3600
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
_SAFE = ("GET", "HEAD", "OPTIONS")
# Questions that are asked by POST because an image or a filter comes with them; they change nothing.
ASKING = tuple(
    f"/api/v1/{name}" for name in ("search", "search/many", "classify", "classify/many", "embed", "explain", "find")
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types lit-html"
)
# An answer that has one of these already keeps its own.
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers say "Origin: null" of our own form
    "Cache-Control": "no-store",
}


class Doors:
    """The one way into the app. It is outermost, so that refusals carry the same headers as answers."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":  # nothing here needs one
            await send({"type": "websocket.close", "code": 1008})
        else:
            request, guarded = Request(scope), _Answer(scope, send)
            refusal = self._refusal(request) or await self._sign_in(request, receive)
            if refusal is not None:
                await refusal(scope, receive, guarded.send)
            else:
                await self._let_in(scope, _Body(receive).receive, guarded)

    async def _let_in(self, scope: Scope, receive: Receive, guarded: "_Answer") -> None:
        try:
            await self._app(scope, receive, guarded.send)
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            logger.exception("%s %s failed: %s", scope["method"], shown(scope["path"]), what)
            if guarded.started:
                raise
            problem = problems.of_status(500, problems.MISTAKE)
            await problems.answer(Request(scope), problem)(scope, receive, guarded.send)

    def _refusal(self, request: Request) -> Response | None:
        """What to answer to a request that may not come this far, whoever asks; it gets its role here."""
        host = request.headers.get("host", "")
        if not self._is_own_name(host, request):
            known = ", ".join((*_LOCAL, *self._settings.allow_hosts))
            detail = (
                f"This server is not called {host!r} but {known}: start it with --allow-host NAME for another name."
            )
            return _refused(request, 421, detail)
        if _comes_from_elsewhere(request, host):
            return _refused(request, 403, "Another page asked for this. Open the address itself.")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal():
            return _refused(request, 400, "The length of the body is not a number.")
        if len(length) > 18 or int(length) > MOST_BYTES:
            return _refused(request, 413, _TOO_LARGE)
        request.scope.setdefault("state", {})["role"] = self._role(request)
        return None

    def _is_own_name(self, host: str, request: Request) -> bool:
        name = _without_port(host).lower()
        if name in _LOCAL or name in (allowed.lower() for allowed in self._settings.allow_hosts):
            return True
        if self._settings.is_local:
            return name == self._settings.host  # as 127.0.0.2
        try:  # the address by which it was reached; no name of an attacker's can be one
            reached = ipaddress.ip_address(name.strip("[]"))
            return reached == ipaddress.ip_address((request.scope.get("server") or ("",))[0])
        except ValueError:
            return name == self._settings.host.lower()

    def _role(self, request: Request) -> str | None:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            key = request.cookies.get(self._settings.cookie, "")
        return self._settings.keys.role(key.strip())

    async def _sign_in(self, request: Request, receive: Receive) -> Response | None:
        """What to answer to who has no key or brings one, or may not do this; None lets the request in."""
        path, role = request.scope["path"], request.scope["state"]["role"]
        if path == "/open":
            try:
                return await self._open(Request(request.scope, _Body(receive).receive))
            except HTTPException as error:
                return _refused(request, error.status_code, error.detail)
        if path.startswith("/static/"):
            return None  # the same files for everybody
        if role is None:
            problem = problems.of_status(
                401, "A key is needed: `birdsearch serve` says where the keys are, and prints a link for browsers."
            )
            if path.startswith("/api/"):
                problem.headers["WWW-Authenticate"] = "Bearer"
                return problems.answer(request, problem)
            return page(request, "open.html", status=401, wrong=False)
        if request.method not in _SAFE and path not in ASKING:
            if role != EDIT:
                return _refused(request, 403, "This key may look and ask, but change nothing.")
            if self._settings.read_only and not path.startswith("/api/v1/jobs"):
                return _refused(request, 403, "This server was started with --read-only: it changes nothing.")
        return None

    async def _open(self, request: Request) -> Response:
        """Exchange a one-time link, or a key that was typed in, for the cookie."""
        if request.method == "POST":
            sent = bytearray()
            async for chunk in request.stream():
                sent += chunk
                if len(sent) > _LONGEST_FORM:
                    break
            fields = parse_qs(sent[:_LONGEST_FORM].decode("utf-8", "replace"))
            role = self._settings.keys.role(fields.get("key", [""])[0].strip())
        else:
            role = self._settings.links.redeem(request.query_params.get("once", "")) or request.scope["state"]["role"]
        if role is None:
            wrong = request.method == "POST" or "once" in request.query_params
            return page(request, "open.html", status=401, wrong=wrong)
        # Who comes from another site sends the strict cookie only from a page of ours, and not along a redirect.
        elsewhere = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
        answer = page(request, "opened.html") if elsewhere else RedirectResponse("/", 303)
        key = getattr(self._settings.keys, role)
        answer.set_cookie(self._settings.cookie, key, max_age=_YEAR, httponly=True, samesite="strict")
        return answer


_TOO_LARGE = f"The body is larger than {MOST_BYTES >> 20} MiB: send a smaller picture, or several requests."


def _refused(request: Request, status: int, detail: str) -> Response:
    request.scope.setdefault("state", {}).setdefault("role", None)
    return problems.answer(request, problems.of_status(status, detail))


def _without_port(host: str) -> str:
    """The name of a Host header: "[::1]" of "[::1]:80"."""
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdecimal() or not port) else host


def _comes_from_elsewhere(request: Request, host: str) -> bool:
    """Whether a page of another site, or of another port, asks in the name of who sits at the browser."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if request.method not in _SAFE:
        if origin is not None and origin.partition("://")[2] != host:  # "null" too is foreign
            return True
        return site not in (None, "same-origin", "none")
    if site in (None, "same-origin", "none"):
        return False
    # A link elsewhere may lead here. It brings no cookie, as that is strict.
    mode, target = (request.headers.get(f"sec-fetch-{name}") for name in ("mode", "dest"))
    return not (mode == "navigate" and target == "document" and request.method == "GET")


class _Body:
    """A body that is not too large and does not come too slowly."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._until = time.monotonic() + MOST_SECONDS
        self._bytes = 0
        self._whole = False

    async def receive(self) -> Message:
        """The next piece of it."""
        if self._whole:
            return await self._receive()
        try:
            message = await wait_for(self._receive(), max(0.0, self._until - time.monotonic()))
        except TimeoutError:
            raise HTTPException(408, f"The body did not come within {MOST_SECONDS:g} seconds.") from None
        self._bytes += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._bytes > MOST_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        return message


class _Answer:
    """An answer on its way out, with the headers that all carry."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self.started = False

    async def send(self, message: Message) -> None:
        """Send the next piece of it."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)
