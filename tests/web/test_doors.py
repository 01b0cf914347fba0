"""Which requests pass, by what their headers say of the page that sent them."""

from __future__ import annotations

import pytest

from ft_ops.errors import OpsError
from ft_ops.settings import load_settings
from ft_ops.web.doors import LONGEST_BODY, Knock, refusal, unfit

HOSTS = frozenset({"127.0.0.1", "::1", "dagster.example.com"})
JSON = {"content-type": "application/json"}


def answer(
    method: str = "POST", path: str = "/graphql", *, query: str = "", **headers: str
) -> int | None:
    """The status of the refusal; nothing for what passes. Names with an underscore for a hyphen."""
    kind = "websocket" if method == "WS" else "http"
    said = {"host": "dagster.example.com", **{k.replace("_", "-"): v for k, v in headers.items()}}
    knock = Knock(kind, "GET" if method == "WS" else method, path, query.encode(), said, False)
    found = refusal(knock, HOSTS)
    return None if found is None else found.status


@pytest.mark.parametrize(
    "headers",
    [
        {},  # a program, not a browser
        {"origin": "https://dagster.example.com"},
        {"origin": "https://dagster.example.com:443"},
        {"origin": "http://dagster.example.com"},
        {"origin": "https://dagster.example.com", "sec_fetch_site": "same-origin"},
        {"host": "127.0.0.1:3000", "origin": "http://127.0.0.1:3000"},
        {"host": "[::1]:3000", "origin": "http://[::1]:3000"},
        {"host": "DAGSTER.example.com.", "content_type": "Application/JSON; charset=utf-8"},
    ],
)
def test_the_uis_own_pages_and_programs_pass(headers: dict[str, str]) -> None:
    assert answer(**{"content_type": "application/json", **headers}) is None
    assert answer("WS", **headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://blog.example.com"},  # a sibling
        {"origin": "https://dagster.example.com.evil.example"},
        {"origin": "https://evil.example@dagster.example.com"},
        {"origin": "https://dagster.example.com:8443"},  # another server of the same machine
        {"origin": "https://dagster.example.com:port"},
        {"origin": "file://dagster.example.com"},
        {"host": "127.0.0.1:3000", "origin": "http://127.0.0.1:3001"},
        {"host": "127.0.0.1:3000", "origin": "http://localhost:3000"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
    ],
)
def test_what_another_page_sends_is_refused(headers: dict[str, str]) -> None:
    assert answer(**{"content_type": "application/json", **headers}) == 403
    assert answer("WS", **headers) == 403


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "text/plain; application/json",
        "application/jsonp",
    ],
)
def test_a_form_of_any_page_can_send_no_json(content_type: str) -> None:
    own = "https://dagster.example.com"
    assert answer(content_type=content_type, origin=own) == 415
    path = "/report_asset_materialization/full_backup"
    assert answer(path=path, content_type=content_type, origin=own) == 415


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/GraphQL", "/prefix/graphql"])
def test_nothing_is_asked_for_by_an_address(path: str) -> None:
    assert answer("GET", path, query="query=mutation{setNuxSeen}") == 405
    assert answer("HEAD", path, query="query=mutation{setNuxSeen}") == 405
    assert answer("OPTIONS", path, query="query={version}") == 405
    assert answer("HEAD", path) == 405
    # The page on which people type queries.
    assert answer("GET", path) is None


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT"])
def test_methods_that_nobody_uses_are_refused(method: str) -> None:
    assert answer(method, content_type="application/json") == 405


def test_pages_and_files_are_read_from_anywhere_by_their_links() -> None:
    assert answer("GET", "/runs", query="q=tag", sec_fetch_site="cross-site") is None
    assert answer("GET", "/logs/a/b.out") is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "127.0.0.1.evil.example",
        "",
        "dagster.example.com@evil.example",
        "dagster.example.com:port",
        "dagster.example.com/",
        "dagster.example.com evil.example",
    ],
)
def test_another_name_that_leads_here_is_refused(host: str) -> None:
    """A name that somebody else's server of names lets point to this machine."""
    assert answer("GET", "/", host=host) == 421
    assert answer(host=host, origin=f"http://{host}", content_type="application/json") == 421
    assert answer("WS", host=host, origin=f"http://{host}") == 421


def test_a_load_balancer_asks_for_the_version_by_any_name() -> None:
    assert answer("GET", "/server_info", host="10.0.0.7:80") is None
    assert answer("POST", "/server_info", host="10.0.0.7:80") == 421


def test_a_header_that_came_twice_decides_nothing() -> None:
    headers = {"host": "dagster.example.com", **JSON}
    found = refusal(Knock("http", "POST", "/graphql", b"", headers, repeated=True), HOSTS)
    assert found is not None
    assert found.status == 400


def test_the_names_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().web_hosts == {"127.0.0.1", "::1", "localhost"}
    monkeypatch.setenv("FT_WEB_HOSTS", "Dagster.Example.com., [::1]")
    assert load_settings().web_hosts == {"dagster.example.com", "::1"}


@pytest.mark.parametrize("names", ["dagster.example.com:443", "https://dagster", "*", "a b"])
def test_what_is_no_name_is_refused(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    monkeypatch.setenv("FT_WEB_HOSTS", names)
    with pytest.raises(OpsError, match="FT_WEB_HOSTS"):
        load_settings()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"query": "{ version }", "variables": {"a": 1}, "operationName": null}', None),
        (b'{"query": "{ version }", "variables": "{}", "extensions": [1]}', None),
        ('{"query": "{ version }"}'.encode("utf-16"), None),
        (b"", 400),
        (b"{", 400),
        (b"null", 400),
        (b"5", 400),
        (b'"x"', 400),
        (b"[]", 400),
        (b'[{"query": "{ version }"}]', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 100_000, 400),
        (b"\xff\xfe\xff", 400),
        (b'{"query": 5}', 400),
        (b'{"query": ["{ version }"]}', 400),
        (b'{"query": "{ version }", "operationName": {}}', 400),
        (b'{"query": "{ version }", "variables": [1]}', 400),
        (b'{"query": "' + b"x" * (LONGEST_BODY - 13) + b'"}', None),
        (b'{"query": "' + b"x" * (LONGEST_BODY - 12) + b'"}', 413),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_body_that_graphql_could_not_be_is_no_fault_of_the_server(
    body: bytes, status: int | None
) -> None:
    refused = unfit("/graphql", body)
    assert (refused.status if refused else None) == status


def test_a_report_may_have_no_body_but_no_other_than_an_object() -> None:
    path = "/report_asset_check/x"
    assert unfit(path, b"") is None
    assert unfit(path, b'{"query": 5}') is None
    for body in (b"[]", b"null", b"{"):
        refused = unfit(path, body)
        assert refused is not None
        assert refused.status == 400
