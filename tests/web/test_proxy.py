"""The proxy before the web servers: who is asked about each request, and what is handed on."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from tests.production.policies import REPOSITORY

PROXY = REPOSITORY / "deploy" / "proxy"
SESSIONS = {"operator": {"operations", "viewers"}, "viewer": {"viewers"}}


def test_a_session_is_for_the_one_name_that_it_was_made_at() -> None:
    """A host beside it is sent nothing, and can set nothing that would be taken for a session."""
    settings = tomllib.loads((PROXY / "oauth2-proxy.cfg").read_text(encoding="utf-8"))
    assert settings["cookie_name"].startswith("__Host-")
    assert settings["cookie_secure"] is True
    assert "cookie_domains" not in settings
    assert "whitelist_domains" not in settings


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing."""

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.answer(404, "")

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


class SignIn(_Quiet):
    """Answers as oauth2-proxy does: 202 for a session of an allowed group."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path != "/oauth2/auth":
            self.answer(200, "the page that signs in")
            return
        (session,) = re.findall(r"session=(\w+)", self.headers.get("Cookie", "")) or [""]
        allowed = set(query.partition("allowed_groups=")[2].split(","))
        status = 401 if session not in SESSIONS else 202 if SESSIONS[session] & allowed else 403
        self.answer(status, "")


class Dagster(_Quiet):
    """Tells what it was sent."""

    name: ClassVar[str]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        told = {"server": self.name, "path": self.path, "headers": dict(self.headers)}
        self.answer(200, json.dumps(told))


class Webserver(Dagster):
    name = "webserver"


class Viewer(Dagster):
    name = "viewer"


@dataclass(frozen=True, slots=True)
class Door:
    """The proxy's port."""

    port: int

    def ask(
        self, path: str, host: str = "dagster.example.com", method: str = "GET", **headers: str
    ) -> tuple[int, str]:
        trusting = ssl._create_unverified_context()
        with closing(
            HTTPSConnection("127.0.0.1", self.port, timeout=30, context=trusting)
        ) as connection:
            sent = {"Host": host, **{k.replace("_", "-"): v for k, v in headers.items()}}
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """nginx by the very files that are deployed, before stand-ins of what it leads to."""
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "tls").mkdir()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=dagster.example.com", "-out", f"{folder}/tls/tls.crt"),
            *("-keyout", f"{folder}/tls/tls.key"),
        ],
        check=True,
        capture_output=True,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with ExitStack() as servers:
        text = {path.name: path.read_text() for path in PROXY.glob("*.conf")}
        for named, handler in (
            ("webserver:3000", Webserver),
            ("viewer:3000", Viewer),
            ("sign-in:4180", SignIn),
        ):
            here = f"127.0.0.1:{servers.enter_context(serving(handler))}"
            text = {name: words.replace(named, here) for name, words in text.items()}
        for name, words in text.items():
            placed = words.replace("/etc/nginx", str(folder)).replace(" /tmp/", f" {folder}/")
            placed = placed.replace("listen 8443", f"listen 127.0.0.1:{port}")
            placed = placed.replace("http {", "http {\n    access_log off;")
            (folder / name).write_text(placed)
        command = [nginx, "-c", f"{folder}/nginx.conf", "-g", "daemon off; error_log stderr;"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                deadline = time.monotonic() + 30
                while not listens(port):
                    assert process.poll() is None, process.stderr and process.stderr.read()
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                yield Door(port)
            finally:
                process.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("host", ["dagster.example.com", "dagster-view.example.com"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/graphql",
        "//graphql",
        "/oauth2/../graphql",
        "/oauth2/%2e%2e/graphql",
        "/oauth2/..%2fgraphql",
        "/oauth2/auth/../../graphql",
        "/oauth2/./../graphql?x=/oauth2/",
        "/OAUTH2/../graphql",
        "/server_info",
        "/logs/x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_gets_past_it_unless_he_is_signed_in(
    door: Door, host: str, path: str, method: str
) -> None:
    for session in ("", "session=nobody"):
        status, said = door.ask(path, host, method, cookie=session)
        assert '"server"' not in said, (status, said)


def test_it_asks_about_nobody_but_whom_the_browser_names(door: Door) -> None:
    """Neither a query nor a header of the browser's decides which groups are allowed."""
    told = {"X_Original_URI": "/oauth2/auth?allowed_groups=viewers", "cookie": "session=viewer"}
    for path in ("/?allowed_groups=viewers", "/oauth2/../?allowed_groups=viewers"):
        assert door.ask(path, **told)[0] == 403
    assert door.ask("/oauth2/auth?allowed_groups=viewers", **told)[0] == 404


@pytest.mark.parametrize(
    ("host", "session", "server"),
    [
        ("dagster.example.com", "operator", "webserver"),
        ("dagster-view.example.com", "operator", "viewer"),
        ("dagster-view.example.com", "viewer", "viewer"),
    ],
)
def test_what_the_doors_go_by_is_handed_on_as_the_browser_said_it(
    door: Door, host: str, session: str, server: str
) -> None:
    status, said = door.ask(
        "/graphql?a=b%2Fc",
        f"{host}:8443",
        cookie=f"session={session}",
        origin="https://evil.example",
        sec_fetch_site="same-site",
    )
    assert status == 200
    told = json.loads(said)
    assert (told["server"], told["path"]) == (server, "/graphql?a=b%2Fc")
    headers = {name.lower(): value for name, value in told["headers"].items()}
    assert headers["host"] == f"{host}:8443"
    assert headers["origin"] == "https://evil.example"
    assert headers["sec-fetch-site"] == "same-site"
    assert "cookie" not in headers


def test_operators_alone_get_the_web_server_that_can_change_something(door: Door) -> None:
    assert door.ask("/", cookie="session=viewer")[0] == 403
    # A name that it does not know is none that asks for less.
    assert door.ask("/", "elsewhere.example.com", cookie="session=viewer")[0] == 403
