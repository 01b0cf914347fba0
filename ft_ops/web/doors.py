"""What no page of the Dagster UI sends is refused, before Dagster sees it.

Dagster's web server takes a mutation by GET, by a POST of plain text and over a websocket from
any page: a page elsewhere that a signed-in operator opens could launch runs with an image's
address. A browser says in each request which page sent it (Origin, Sec-Fetch-Site, Host). A
program that is no browser sends none of these, and passes with a JSON body.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any
from urllib.parse import urlsplit

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
"""As ASGI has them."""

_OPEN = ("/server_info", "/dagit_info")
"""What load balancers ask, by any name: the version, and nothing else."""

LONGEST_BODY = 16 * 1024 * 1024
"""Bytes of a request. The UI sends some kilobytes; a report of an asset may carry metadata."""

_OF_GRAPHQL: Mapping[str, tuple[type, ...]] = {
    "query": (str, NoneType),
    "operationName": (str, NoneType),
    # As a string of JSON, too.
    "variables": (dict, str, NoneType),
}

_HEADERS = (
    # Nobody shows these pages in a frame of his own, to guide a click.
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """Why a request does not pass."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Knock:
    """What a request says of itself. Header names are in lower case, and each came once."""

    kind: str
    """``http`` or ``websocket``"""
    method: str
    path: str
    query: bytes
    headers: Mapping[str, str]
    repeated: bool
    """whether a header that decides came more than once"""


_DECIDE = ("host", "origin", "content-type", "sec-fetch-site", "sec-fetch-mode")


def refusal(knock: Knock, hosts: Collection[str]) -> RefusedRequest | None:
    """Why the request is refused; nothing when it passes. ``hosts`` are the UI's own names."""
    if knock.repeated:
        return RefusedRequest(400, "a header that may come once came twice")
    reads = knock.kind == "http" and knock.method in {"GET", "HEAD", "OPTIONS"}
    if _name(knock.headers.get("host", "")) not in hosts and not (reads and knock.path in _OPEN):
        return RefusedRequest(
            421, "this server has another name: FT_WEB_HOSTS lists those by which it is reached"
        )
    if reads:
        return _reading(knock)
    return _no_json(knock) or _foreign(knock)


def unfit(path: str, body: bytes) -> RefusedRequest | None:
    """Why a body can't be what the path takes: Dagster answers such a one as a fault of its own."""
    if len(body) > LONGEST_BODY:
        return RefusedRequest(413, f"it is longer than {LONGEST_BODY} bytes")
    if not body and not _is_graphql(path):
        # Its reports may say everything in the address.
        return None
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        return RefusedRequest(400, "the body is no JSON")
    if not isinstance(sent, dict):
        return RefusedRequest(400, "the body is JSON, but no object")
    if _is_graphql(path):
        for name, kinds in _OF_GRAPHQL.items():
            if not isinstance(sent.get(name), kinds):
                return RefusedRequest(400, f"{name} is of another kind than GraphQL's")
    return None


def _reading(knock: Knock) -> RefusedRequest | None:
    # The page on which people type queries has none in its address.
    if _is_graphql(knock.path) and (knock.query or knock.method != "GET"):
        return RefusedRequest(405, "queries and mutations are sent by POST, as JSON")
    return None


def _no_json(knock: Knock) -> RefusedRequest | None:
    if knock.kind == "websocket":
        return None
    if knock.method != "POST":
        return RefusedRequest(405, f"{knock.method} is not used here")
    if _media_type(knock.headers.get("content-type", "")) != "application/json":
        return RefusedRequest(415, "only application/json is taken")
    return None


def _foreign(knock: Knock) -> RefusedRequest | None:
    """Whether a page of somebody else sent it."""
    host = knock.headers.get("host", "")
    site = knock.headers.get("sec-fetch-site", "same-origin")
    origin = knock.headers.get("origin")
    if site != "same-origin" or (origin is not None and not _is_own(origin, host)):
        return RefusedRequest(403, "a page of another origin sent this")
    return None


def _is_own(origin: str, host: str) -> bool:
    """Whether an origin is the host that the request names: that very name and port."""
    try:
        page, asked = urlsplit(origin), urlsplit(f"//{host}")
        ports = (page.port, asked.port)
    except ValueError:
        return False
    standard = {"http": 80, "https": 443}.get(page.scheme)
    # Behind a proxy that ends TLS, we don't know by which scheme the browser came.
    admitted = {ports[1]} if ports[1] else {80, 443}
    return (
        standard is not None
        and page.hostname is not None
        and page.hostname == asked.hostname
        and (ports[0] or standard) in admitted
        and "@" not in page.netloc
        and origin == f"{page.scheme}://{page.netloc}"
    )


def _name(host: str) -> str:
    """The host's name without its port, in lower case; nothing when it can't be read."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    return (parts.hostname or "").rstrip(".") if parts.netloc == host and "@" not in host else ""


def _is_graphql(path: str) -> bool:
    return path.rstrip("/").lower().endswith("/graphql")


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Doors:
    """An ASGI application that passes to another one what comes from its own pages."""

    app: Application
    hosts: frozenset[str]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Decide, and pass on or answer."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        knock = _knock(scope)
        refused = refusal(knock, self.hosts)
        if refused is None and knock.method == "POST":
            body = await _whole(receive)
            refused = unfit(knock.path, body)
            receive = _again(body, receive)
        if refused is None:
            await self.app(scope, receive, _guarding(send))
        elif scope["type"] == "websocket":
            await receive()
            # Before it is accepted, this is answered as 403.
            await send({"type": "websocket.close", "code": 1008, "reason": refused.reason})
        else:
            await _answer(refused, send)


def _knock(scope: Message) -> Knock:
    headers: dict[str, str] = {}
    repeated = False
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        repeated |= name in headers and name in _DECIDE
        headers[name] = raw_value.decode("latin-1").strip()
    return Knock(
        kind=scope["type"],
        method=scope["method"].upper() if scope["type"] == "http" else "GET",
        path=scope["path"],
        query=scope["query_string"],
        headers=headers,
        repeated=repeated,
    )


async def _whole(receive: Receive) -> bytes:
    """A request's body, or the beginning of one that is too long, or that its sender gave up."""
    body = bytearray()
    while len(body) <= LONGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """``receive`` that begins with a body which has been read."""
    whole = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return whole.pop() if whole else await receive()

    return give


def _guarding(send: Send) -> Send:
    """``send`` that adds headers to the beginning of each answer."""

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            present = {name.lower() for name, _ in given}
            added = [header for header in _HEADERS if header[0] not in present]
            message = {**message, "headers": [*given, *added]}
        await send(message)

    return add


async def _answer(refused: RefusedRequest, send: Send) -> None:
    body = f"refused: {refused.reason}\n".encode()
    await send(
        {
            "type": "http.response.start",
            "status": refused.status,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
                *_HEADERS,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
