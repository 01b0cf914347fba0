"""The real web server behind its doors: what it takes over HTTP and over a websocket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from ft_ops.errors import OpsError
from ft_ops.web.serve import serve
from tests.fixtures.quick_programs import forks_of

# One server for all of them.
pytestmark = [pytest.mark.server, pytest.mark.xdist_group("web server")]

MUTATION = "/graphql?query=" + quote("mutation { setNuxSeen }")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """`ft-ops`, whose web server has been imported already: that takes seconds."""
    imported = ("ft_ops.cli", "ft_ops.web.serve", "ft_ops.orchestration.upkeep.condition")
    with forks_of(["ft-ops"], *imported, "dagster_webserver.cli") as folder:
        yield folder / "ft-ops"


@pytest.fixture(scope="module")
def port(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A web server over an empty workspace; Dagster's own files are in a folder of the test's."""
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (home / "workspace.yaml").write_text("load_from: []\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    command = [str(program), "web", "-h", "127.0.0.1", "-p", str(number), "-w", "workspace.yaml"]
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(command, cwd=home, env=environment) as server:
        try:
            deadline = time.monotonic() + 120
            while not answers(number):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield number
        finally:
            server.terminate()


def answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/server_info")[0] == 200
    except OSError:
        return False


def ask(
    port: int, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_its_own_page_asks_and_is_answered(port: int) -> None:
    status, page = ask(port, "GET", "/", {"Accept": "text/html"})
    assert (status, "<html" in page.lower()) == (200, True)
    own = {**JSON, "Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
    status, answer = ask(port, "POST", "/graphql", own, json.dumps({"query": "{ version }"}))
    assert status == 200
    assert "version" in json.loads(answer)["data"]


def test_no_page_shows_it_in_a_frame(port: int) -> None:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().headers.get_all("X-Frame-Options") == ["DENY"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", MUTATION, {"Accept": "image/*"}, "", 405),
        ("HEAD", MUTATION, {}, "", 405),
        ("GET", "//graphql?query=mutation{setNuxSeen}", {}, "", 405),
        ("GET", "/x/../graphql?query=mutation{setNuxSeen}", {}, "", 405),
        ("GET", "/%67raphql?query=mutation{setNuxSeen}", {}, "", 405),
        ("POST", MUTATION, {"Content-Type": "text/plain"}, "x", 415),
        ("POST", MUTATION, {}, "", 415),
        ("POST", "/graphql", {**JSON, "Origin": "https://evil.example"}, "{}", 403),
        ("POST", "/graphql", {**JSON, "Host": "evil.example:3000"}, "{}", 421),
        ("GET", "/", {"Host": "evil.example"}, "", 421),
        ("POST", "/report_asset_materialization/x", {"Content-Type": "text/plain"}, "{}", 415),
        ("PUT", "/graphql", JSON, "{}", 405),
    ],
)
def test_what_another_page_sends_never_reaches_dagster(
    port: int, method: str, path: str, headers: dict[str, str], body: str, status: int
) -> None:
    assert ask(port, method, path, headers, body)[0] == status


def test_a_websocket_of_another_page_is_not_opened(port: int) -> None:
    address = f"ws://127.0.0.1:{port}/graphql"
    protocols = [Subprotocol("graphql-ws")]
    for origin in ("https://evil.example", f"http://localhost:{port}", "null"):
        with pytest.raises(InvalidStatus) as refused:
            connect(address, origin=Origin(origin), subprotocols=protocols, proxy=None)
        assert refused.value.response.status_code == 403
    own = Origin(f"http://127.0.0.1:{port}")
    with connect(address, origin=own, subprotocols=protocols, proxy=None) as opened:
        opened.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(opened.recv(timeout=30))["type"] == "connection_ack"


@pytest.mark.parametrize(
    ("home", "arguments", "said"),
    [
        ("", ["-p", "99999"], "between 1 and 65535"),
        ("", ["--port=0"], "between 1 and 65535"),
        ("", ["--port", "x"], "not a valid integer"),
        ("", ["-w", "/etc"], "Is a directory"),
        ("", ["-w", __file__], "it is no YAML"),
        ("", ["-w", "empty.yaml"], "no list load_from"),
        ("", ["-w", "other.yaml"], "at path root:load_from"),
        ("nowhere", ["--empty-workspace"], "is not a directory"),
        ("unset", ["--empty-workspace"], "FT_DAGSTER_DATABASE_URL"),
    ],
)
def test_what_keeps_the_server_from_starting_is_one_line(
    program: Path, tmp_path: Path, home: str, arguments: list[str], said: str
) -> None:
    (tmp_path / "unset").mkdir()
    (tmp_path / "unset" / "dagster.yaml").write_text(
        "storage:\n  postgres:\n    postgres_url: {env: FT_DAGSTER_DATABASE_URL}\n"
    )
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "other.yaml").write_text("load_from: [{nope: 1}]\n")
    words = started_in(program, tmp_path, home, *arguments)
    assert said in words


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg2://u:hun/ter2@host/d", "its port is no number"),
        ("postgresql+psycopg2://u:hunter2@host:port/d", "its port is no number"),
        ("postgresql+psycopg2://u:hun@ter2@host/d", "its host holds an @"),
        pytest.param(
            "postgresql+psycopg2://u:hunter2@127.0.0.1:1/d",
            "Connection refused",
            marks=pytest.mark.chaos,  # Dagster tries for a quarter of a minute
        ),
    ],
)
def test_a_database_of_dagsters_that_is_none_is_one_line(
    program: Path, tmp_path: Path, url: str, said: str
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text(
        "storage:\n  postgres:\n    postgres_url: {env: FT_DAGSTER_DATABASE_URL}\n"
    )
    words = started_in(program, tmp_path, "home", "--empty-workspace", FT_DAGSTER_DATABASE_URL=url)
    assert "FT_DAGSTER_DATABASE_URL" in words
    assert said in words
    assert "ter2" not in words


def started_in(program: Path, folder: Path, home: str, *arguments: str, **settings: str) -> str:
    """What a web server that does not start says last, which is one line."""
    given = {k: v for k, v in os.environ.items() if not k.startswith(("FT_", "DAGSTER_"))}
    done = subprocess.run(
        [str(program), "web", *arguments],
        cwd=folder,
        env={
            **given,
            "DAGSTER_HOME": str(folder / home),
            "PYTHONWARNINGS": "ignore",
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode in {1, 2}, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ft-ops: ")
    return last


@pytest.mark.parametrize(
    "body", ["null", "[]", '"x"', '[{"query": "{ version }"}]', '{"query": 5}']
)
def test_json_that_is_no_query_is_refused_by_what_is_wrong_with_it(port: int, body: str) -> None:
    status, told = ask(port, "POST", "/graphql", JSON, body)
    assert (status, told[:9]) == (400, "refused: ")


def test_an_address_that_can_t_be_had_is_told_before_anything_is_loaded(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for host, number, cause in (
        ("127.0.0.1", port, "in use"),
        ("203.0.113.1", 3000, "assign requested address"),
        ("no such host", 3000, "can't listen there"),
        ("a" * 70, 3000, "can't listen there"),
        (".", 3000, "can't listen there"),
    ):
        with pytest.raises(OpsError, match=cause) as refused:
            serve(["-h", host, "-p", str(number)])
        assert f"address {host}:{number}" in str(refused.value)
    assert capsys.readouterr().out == ""
