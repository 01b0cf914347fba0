"""The list of all faults that a run of `make chaos` injected: bench/faults.json, docs/faults.md.

Each test process adds a line a strike to a file of its own in the folder FT_FAULTS_REPORT;
``python -m tests.faults.report FOLDER`` makes the results of them.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import Any

from tests.faults.chaos import Strike

_REPORT = os.environ.get("FT_FAULTS_REPORT")
"""Read when this is imported: other rooms' tests take such variables away later on."""

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = re.compile(r"/[^@ ]*/ft-sandbox-\w+")
"""The throw-away folder of one run, in a message."""

_HEAD = """\
# Faults survived

`python -m tests.faults.report FOLDER` writes this page, from what runs of `make chaos` with
FT_FAULTS_REPORT=FOLDER have left in that folder; don't edit it. Each line of bench/faults.json is
one fault at one point of one step that takes a month through the archive. Right after the fault,
every row had to be in the database or in a proven archive. Then the step was run again until it
succeeded. Afterwards rows, partitions, tables, ledger, objects, unfinished uploads and audit were
compared with those of a month that no fault had disturbed. A 0 in the table means that this was not
tried.

A point is a statement of psycopg or ADBC, or an HTTP request to S3, either *before* it is sent, or
*in flight*: it was sent, and its answer was not seen.
"""

_LIVES = """\
## Lives of the model

`tests/model` takes three months of five threads through random events: writes of the application,
steps of the archive, holds, migrations, settings, and a fault at a random statement or request of a
step. One such series is a *life*. After each step it compares every row that can be read, by the
bytes of all of its columns and for each user, with a model: a few sets in Python. At the end of a
life everything is brought back.

{steps:,} steps; no row was lost, doubled, revived or shown to a stranger. The seeds were {seeds}.
To run them again from the first one on: `FT_MODEL_SEED={first} make chaos ARGS=tests/model`.
"""


_REBUILDS = """\
## Rebuilds of indexes

`tests/maintenance/test_faults.py` strikes rebuilds of two indexes at random moments, while somebody
writes to their table. A *strike* is such a disturbance. After each strike the clean-up of the daily
run was done once. Then there had to be no invalid index, no leftover and no open row of the
journal, and all the former indexes.

{strikes} strikes, of which {struck} fell while a rebuild was at work; {left} left anything. The
seed was {seed}.
"""


def add(strike: Strike, worker: str) -> None:
    """Keep one strike, if FT_FAULTS_REPORT asks for it."""
    if _REPORT:
        path = Path(_REPORT) / f"{worker}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            line = asdict(strike.point) | {
                "first_end": _FOLDER.sub("(sandbox)", strike.first_end),
                "runs_until_done": strike.runs,
                "problems": strike.problems,
            }
            file.write(json.dumps(line) + "\n")


def add_lives(lives: dict[str, Any]) -> None:
    """Keep what the model has lived through so far, if FT_FAULTS_REPORT asks for it."""
    if _REPORT:
        path = Path(_REPORT) / f"model-{lives['seeds'][0]}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(lives), encoding="utf-8")


def add_rebuilds(struck: dict[str, Any]) -> None:
    """Keep how rebuilds were struck, if FT_FAULTS_REPORT asks for it."""
    if _REPORT:
        path = Path(_REPORT) / "rebuilds.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(struck), encoding="utf-8")


def main(folder: str) -> None:
    """Make the results of what the folder has; what it has not stays as it is."""
    lines = [
        json.loads(line)
        for path in sorted(Path(folder).glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    lines.sort(key=lambda line: (line["step"], line["fault"], line["number"], line["at"]))
    results = _ROOT / "bench" / "faults.json"
    if lines:
        document = ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
        results.write_text(f"[\n{document}\n]\n", encoding="utf-8")
    parts = [
        json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).glob("model-*.json")
    ]
    kept = _ROOT / "bench" / "model.json"
    if parts:
        parts.sort(key=lambda part: part["seeds"])
        kept.write_text(f"{json.dumps(parts, indent=1)}\n", encoding="utf-8")
    rebuilds = _ROOT / "bench" / "rebuilds.json"
    struck = Path(folder) / "rebuilds.json"
    if struck.exists():
        found = json.loads(struck.read_text(encoding="utf-8"))
        rebuilds.write_text(f"{json.dumps(found, indent=1)}\n", encoding="utf-8")
    page = _ROOT / "docs" / "faults.md"
    page.parent.mkdir(exist_ok=True)
    sections = [_page(json.loads(results.read_text(encoding="utf-8")))]
    if kept.exists():
        sections.append(_lives(json.loads(kept.read_text(encoding="utf-8"))))
    if rebuilds.exists():
        sections.append(_rebuilds(json.loads(rebuilds.read_text(encoding="utf-8"))))
    page.write_text("\n".join(sections), encoding="utf-8")
    sys.stdout.write(f"{len(lines)} faults: {results}, {page}\n")


def _lives(parts: list[dict[str, Any]]) -> str:
    """The section of the model: what it has lived through, from bench/model.json."""
    outcomes: Counter[str] = Counter()
    for part in parts:
        outcomes.update(part["outcomes"])
    seeds = [f"{first} to {last}" for first, last in (part["seeds"] for part in parts)]
    head = _LIVES.format(
        steps=outcomes.total(), seeds=fill(", ".join(seeds), 100), first=parts[0]["seeds"][0]
    )
    table = ["| what came of a step | steps |", "|---|---|"]
    table += [f"| {outcome} | {count:,} |" for outcome, count in sorted(outcomes.items())]
    return "\n".join([head, *table, ""])


def _rebuilds(struck: dict[str, Any]) -> str:
    """The section of rebuilds, from bench/rebuilds.json."""
    table = ["| strike | times |", "|---|---|"]
    table += [f"| {blow} | {times} |" for blow, times in sorted(struck["blows"].items())]
    return "\n".join([_REBUILDS.format(**struck), *table, ""])


def _page(lines: list[dict[str, Any]]) -> str:
    steps = list(dict.fromkeys(line["step"] for line in lines))
    faults = sorted({line["fault"] for line in lines})
    counts = Counter((line["fault"], line["step"]) for line in lines)
    points = {(line["step"], line["number"], line["at"], line["fault"]) for line in lines}
    bad = [line for line in lines if line["problems"]]
    table = [f"| fault | {' | '.join(steps)} | all |", f"|---|{'---|' * (len(steps) + 1)}"]
    for fault in faults:
        cells = [counts[fault, step] for step in steps]
        table.append(f"| {fault} | {' | '.join(map(str, cells))} | {sum(cells)} |")
    counted = f"{len(lines)} faults at {len(points)} distinct points"
    verdict = [f"{counted}; {len(bad)} of them lost, duplicated or wedged something."]
    verdict += [
        f"- {line['step']}, {line['fault']}, {line['at']}: {line['problems']}" for line in bad
    ]
    return "\n".join([_HEAD, *verdict, "", *table, ""])


if __name__ == "__main__":
    main(*sys.argv[1:])
