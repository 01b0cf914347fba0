"""The pages keep their word: links lead somewhere, what is quoted is said, blocks run."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from ft_ops.definitions import defs
from ft_ops.orchestration.deadlines import schedules_of
from ft_ops.settings.page import settings_page
from tests.documents import DOCS, PAGES, ROOT, blocks, headings, links, prose

CODE = [
    *sorted((ROOT / "ft_ops").rglob("*.py")),
    *sorted((ROOT / "sql").rglob("*.sql")),
    *sorted((ROOT / "deploy").rglob("*.*")),
    ROOT / "compose.yaml",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        assert not anchor or anchor in headings(file), link


def test_every_file_and_room_on_the_page_of_the_architecture_exists() -> None:
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)+/?(?:\.py)?)`", prose(DOCS / "architecture.md")))
    assert named
    for name in named:
        places = [ROOT / name, ROOT / "ft_ops" / name, ROOT / "ft_ops" / "archive" / name]
        places += [ROOT / "ft_ops" / "orchestration" / name]
        assert any(p.exists() or p.with_suffix(".py").exists() for p in places), name


def test_every_page_that_the_code_names_exists() -> None:
    for path in CODE:
        for name in re.findall(r"docs/[\w-]+\.md", path.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{path} names {name}"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_message_that_a_page_quotes_is_said_by_the_code(page: Path) -> None:
    for quoted in re.findall(r"“([^”]+)”", prose(page)):
        words = " ".join(quoted.split())
        parts = [part.strip() for part in words.split("…") if part.strip()]
        pattern = re.compile(".*".join(re.escape(part) for part in parts))
        assert not parts or any(map(pattern.search, said())), f"{page.name}: {quoted}"


def test_the_page_of_settings_is_the_policys() -> None:
    """`ft-ops settings > docs/settings.md` writes it anew."""
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == settings_page()


def test_the_page_on_operations_leads_from_each_schedule_to_its_job_and_assets() -> None:
    listed = re.findall(
        r"^\| `(\w+)` \| `(.+)` \| \[(\w+)\]\(runbook\.md#\3\) \| (.+) \|$",
        (DOCS / "operations.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    wanted = [
        (s.name, s.cron_schedule, s.job_name, _assets(s.job_name)) for s in schedules_of(defs)
    ]
    assert sorted(listed) == sorted(wanted)


def _assets(job: str) -> str:
    keys = defs.resolve_job_def(job).asset_layer.executable_asset_keys
    names = sorted(key.to_user_string() for key in keys)
    return ", ".join(f"`{name}`" for name in names) or "no asset"


def test_every_dependency_is_accounted_for() -> None:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, groups = written["project"], written["dependency-groups"]
    wanted = chain(
        project["dependencies"], *project["optional-dependencies"].values(), *groups.values()
    )
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted}
    rows = re.findall(r"^\| ([^|]+) \|", prose(DOCS / "dependencies.md"), flags=re.MULTILINE)
    told = {re.sub(r" \(.*", "", name) for row in rows for name in row.split(", ")}
    unsaid = {n for n in names if not n.startswith("types-") and not n.endswith("-stubs")} - told
    assert unsaid == {"build", "hatchling"}  # they make the package, and nothing else


def test_every_benchmark_that_the_page_on_scaling_names_exists() -> None:
    rows = re.findall(r"^\|.*\| ([^|]*) \|$", prose(DOCS / "scaling.md"), flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named
    assert {name for name in named if not (ROOT / "bench" / f"{name}.py").exists()} == set()


def test_no_script_is_run_by_a_psql_that_keeps_nothing() -> None:
    """An administrator's own .psqlrc may switch autocommit off."""
    typed = [
        line
        for page in PAGES
        for block in blocks(page)
        for line in re.findall(r"\bpsql .*--file.*", block.text)
    ]
    assert typed
    assert [line for line in typed if "--no-psqlrc" not in line] == []


@cache
def said() -> tuple[str, ...]:
    """Every text in the code, with “…” for what it fills in."""
    texts = [
        " ".join(_text(node).split())
        for path in (ROOT / "ft_ops").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant | ast.JoinedStr)
    ]
    statements = (ROOT / "sql").rglob("*.sql")
    return *texts, *(" ".join(path.read_text(encoding="utf-8").split()) for path in statements)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) for value in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "…"


def test_every_picture_is_small_and_shown_on_a_page() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    for path in (DOCS / "screenshots").glob("*.png"):
        assert path in shown, path
        assert path.stat().st_size < 150_000, path
