"""Who may use whom: a room's ledger is its own, and no module imports what imports it."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import ft_ops
from ft_ops.pg.sqlfiles import sql_root

SHARED = {
    # What the archive publishes of its ledger: a month that has left needs no partition.
    "ops.archive_status": {"archive", "partitions", "restore"},
    "ops.audit_archive_status": {"archive", "partitions"},
    # What was erased stays erased, also in what comes back from a copy.
    "ops.erasures": {"archive", "restore"},
    # A restore withdraws a tombstone, and the archive's records say so in the bucket.
    "ops.withdrawn_erasures": {"archive", "restore"},
    # A copy may have a link there that the live database has among the others.
    "ops.waiting_links": {"archive", "restore"},
    # The schema makes it a hypertable where it can; the figures are the health's.
    "ops.metric_samples": {"health", "schema"},
}
"""Relations that more than one room's SQL may name, and those rooms."""
ROOT = Path(ft_ops.__file__).parent
NO_ROOMS = {"migrations", "queries", "roles"}


def test_a_rooms_sql_names_its_own_ledger_and_no_other_rooms() -> None:
    named = defaultdict(set)
    for path in sql_root().glob("*/*.sql"):
        if path.parent.name not in NO_ROOMS:
            for relation in re.findall(r"\bops\.[a-z_]+\b", _without_comments(path.read_text())):
                named[relation].add(path.parent.name)
    strangers = {
        relation: rooms - SHARED.get(relation, set())
        for relation, rooms in named.items()
        if len(rooms - SHARED.get(relation, set())) > (0 if relation in SHARED else 1)
    }
    assert strangers == {}
    assert named.keys() >= SHARED.keys()


def test_no_module_imports_what_imports_it() -> None:
    """An import inside a function counts: it only hides the circle until it is run."""
    graph = grimp.build_graph("ft_ops", cache_dir=None)
    after = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    # Whatever imports nothing that is left can be in no circle.
    while free := {module for module, imported in after.items() if not imported & after.keys()}:
        for module in free:
            del after[module]
    while unused := {m for m in after if not any(m in imported for imported in after.values())}:
        for module in unused:
            del after[module]
    assert sorted(after) == []


def test_a_face_exports_no_name_that_is_also_a_module_of_its_folder() -> None:
    """``from ft_ops.sandbox import x`` would be the one or the other by the order of imports."""
    faces = list(ROOT.rglob("__init__.py"))
    shadowed = {
        str(face.relative_to(ROOT)): names
        for face in faces
        if (names := _exported(face) & {path.stem for path in face.parent.iterdir()})
    }
    assert shadowed == {}
    assert len(faces) > 30


def test_a_class_has_a_name_of_its_own() -> None:
    """What two rooms call the same is taken for the same by who reads one after the other."""
    places = defaultdict(list)
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
    assert len(places) > 300


def test_no_module_and_no_folder_is_too_large_to_be_seen_at_once() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert {path.name: lines for path, lines in lengths.items() if lines >= 350} == {}
    modules = Counter(path.parent for path in lengths if path.name != "__init__.py")
    assert {folder.name: number for folder, number in modules.items() if number > 14} == {}


CALLED_BY_OTHERS = {
    "dispose",
    "log_request",
    "redirect_request",
    "run_wsgi",
    "seekable",
    "writable",
}
"""Methods that moto, werkzeug, urllib and pyarrow call."""
ASKED_BY_TESTS = {"fingerprint_tables", "living_erased"}
"""What the tests ask of a database in the rooms' own words."""


def test_every_function_is_called_by_something() -> None:
    """By its name somewhere in the code or the benchmarks; what Dagster or click calls apart."""
    trees = [
        ast.parse(path.read_text())
        for folder in (ROOT, ROOT.parent / "bench")
        for path in folder.rglob("*.py")
    ]
    named = {name for tree in trees for node in ast.walk(tree) for name in _names(node)}
    functions = {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("__")
        and not node.decorator_list
    }
    assert functions - named == CALLED_BY_OTHERS | ASKED_BY_TESTS
    assert len(functions) > 1000


def test_what_is_asked_for_by_itself_is_kept_waiting_by_no_backfill() -> None:
    """`run_request` gives each of these runs its place in the queue."""
    asking = [path for path in ROOT.rglob("*.py") if "RunRequest(" in path.read_text()]
    assert [str(path.relative_to(ROOT)) for path in asking] == ["orchestration/jobs.py"]


READ_AS_A_WHOLE = {"SeenRows", "ServerFacts", "Shape", "_Catalog"}
"""Classes whose fields are all read at once: by ``==``, ``fields`` or ``asdict``."""


def test_every_field_is_read_by_something() -> None:
    """Somewhere in the code or the benchmarks; a statement that fills it would ask for nothing."""
    named: set[str] = set()
    fields = set()
    for folder in (ROOT, ROOT.parent / "bench"):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                named |= set(_names(node)) if not isinstance(node, ast.Name) else set()
                if isinstance(node, ast.ClassDef) and node.name not in READ_AS_A_WHOLE:
                    fields |= {
                        (node.name, item.target.id)
                        for item in node.body
                        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                    }
    assert {(owner, name) for owner, name in fields if name not in named} == set()
    assert len(fields) > 1000


def test_what_dagster_shows_in_bytes_and_seconds_has_its_unit() -> None:
    """``orchestration.metadata.table`` gives the columns of a table theirs."""
    modules = [path for path in ROOT.rglob("*.py") if "import dagster as dg" in path.read_text()]
    bare = [f"{path.relative_to(ROOT)}:{line}" for path in modules for line in _bare(path)]
    assert bare == []
    assert len(modules) > 20


def _exported(face: Path) -> set[str]:
    tree = ast.parse(face.read_text())
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {name.asname or name.name for node in imports for name in node.names}


def _names(node: ast.AST) -> Iterator[str]:
    """What a node names: a variable, an attribute, or a text that is looked up by ``getattr``."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _bare(path: Path) -> Iterator[int]:
    """The lines where a size or a duration is given as it is, under a name that says its unit."""
    dicts = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Dict))
    for key, value in (
        (k, v) for node in dicts for k, v in zip(node.keys, node.values, strict=True)
    ):
        name = key.value if isinstance(key, ast.Constant) else None
        is_measured = isinstance(name, str) and re.search(r"\b(bytes|seconds|s)\b", name)
        shown = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
        if is_measured and not shown & {"human_bytes", "human_duration"}:
            yield value.lineno


def _without_comments(text: str) -> str:
    return re.sub(r"--.*", "", text)


@pytest.mark.xdist_group("house")
def test_a_tests_group_reaches_whoever_deals_the_tests_out(request: pytest.FixtureRequest) -> None:
    """A pytest that its xdist does not know loses the groups, and says nothing of it."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("the tests are not dealt out by groups")
    assert request.node.nodeid.endswith("@house")
