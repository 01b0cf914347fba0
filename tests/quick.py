"""Which test files need no server: `make quick` collects these alone, by --quick.

Told by reading them, not by importing: a file needs one that imports what starts a server, takes a
fixture that does, or says so by the mark ``server``; so does what imports such a file.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

STARTERS = {
    "ft_ops.pg.server",
    "ft_ops.sandbox",
    "tests.fixtures.postgres",
    "tests.fixtures.s3",
}


@cache
def needs_a_server(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (
        any(map(_starts_a_server, _imported(tree)))
        or not _parameters(tree).isdisjoint(server_fixtures())
        or any(ast.unparse(node).endswith("mark.server") for node in _attributes(tree))
    )


@cache
def server_fixtures() -> frozenset[str]:
    """The names of the fixtures that start a server, or take one that does."""
    places = [*ROOT.glob("tests/fixtures/*.py"), *ROOT.glob("tests/*/conftest.py")]
    takes: dict[str, set[str]] = {}
    for path in places:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        begins = any(_is_starter(name) for name in _imported(tree))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and _is_fixture(function):
                needed = takes.setdefault(function.name, set())
                needed |= _parameters(function)
                starts = path.parent.name == "fixtures" or "sandbox(" in ast.unparse(function)
                if begins and starts:
                    needed.add("a server")
    known = {"a server"}
    while more := {name for name, needed in takes.items() if needed & known} - known:
        known |= more
    return frozenset(known)


def _starts_a_server(module: str) -> bool:
    if _is_starter(module):
        return True
    if not module.startswith("tests."):
        return False
    path = ROOT / f"{module.replace('.', '/')}.py"
    return path.exists() and needs_a_server(path)


def _is_starter(module: str) -> bool:
    return any(module == s or module.startswith(f"{s}.") for s in STARTERS)


def _imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module), names=names):
                found |= {module, *(f"{module}.{alias.name}" for alias in names)}
    return found


def _parameters(tree: ast.AST) -> set[str]:
    return {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def _attributes(tree: ast.Module) -> list[ast.Attribute]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]


def _is_fixture(function: ast.FunctionDef) -> bool:
    return any("fixture" in ast.unparse(decorator) for decorator in function.decorator_list)
