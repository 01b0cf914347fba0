"""What an auditor is shown: each act of the time in one section, and drills against the targets."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from ft_ops.errors import OpsError
from ft_ops.evidence import CheckedChain, Head, report, write_report
from ft_ops.evidence.acts import Act, to_entry
from ft_ops.evidence.measured import exceeds
from ft_ops.evidence.page import SECTIONS
from ft_ops.settings import Settings

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2026, 2, 1, tzinfo=UTC)


def act(action: str, at: datetime = SINCE, number: int = 1, **details: object) -> Act:
    return Act(UUID(int=number), at, action, "a", details)


def of(*acts: Act, problems: tuple[str, ...] = ()) -> CheckedChain:
    return CheckedChain(problems, tuple(map(to_entry, acts)), Head(4, "ab"))


def test_the_time_holds_its_first_moment_and_not_its_last() -> None:
    moment = timedelta(microseconds=1)
    told = report(
        of(
            act("x", SINCE - moment, 1),
            act("x", SINCE, 2),
            act("x", UNTIL - moment, 3),
            act("x", UNTIL, 4),
        ),
        SINCE,
        UNTIL,
        rto_minutes=None,
        rpo_minutes=None,
    )
    assert [a.id.int for a in told.sections["Everything else"]] == [2, 3]


@pytest.mark.parametrize(
    ("action", "section"),
    [
        ("backup_verified", "Drills"),
        ("archive.purge", "Months removed"),
        ("archive.erase", "Erasures"),
        ("hold.release", "Legal holds"),
        ("backup_deleted", "Backups deleted"),
        ("backup_taken", "Everything else"),
        ("archive.thaw", "Access"),
        ("archive.detach", "Everything else"),
    ],
)
def test_each_act_stands_in_one_section(action: str, section: str) -> None:
    told = report(of(act(action, drill=1)), SINCE, UNTIL, rto_minutes=None, rpo_minutes=None)
    assert next(name for name, acts in told.sections.items() if acts).startswith(section)
    assert sum(len(acts) for acts in told.sections.values()) == 1


@pytest.mark.parametrize(
    ("seconds", "minutes", "above"),
    [(60.0, 1, False), (60.1, 1, True), (None, 1, None), (60.0, None, None)],
)
def test_a_target_is_met_at_its_very_value(
    seconds: float | None, minutes: float | None, *, above: bool | None
) -> None:
    assert exceeds(seconds, minutes) is above


def test_drills_stand_beside_the_targets() -> None:
    measured = act("backup_verified", drill=7, recovery_seconds=90.0, loss_seconds=30.0)
    before_that_was_kept = act("backup_verified", number=2, drill=6)
    told = report(of(measured, before_that_was_kept), SINCE, UNTIL, rto_minutes=1, rpo_minutes=1)
    drills = json.loads(told.to_json())["drills"]
    assert [(d["drill"], d["within_rto"], d["within_rpo"]) for d in drills] == [
        (7, False, True),
        (6, None, None),
    ]
    page = told.to_html()
    assert "90 s, above the target" in page
    assert "30 s, within the target" in page
    assert "not recorded" in page


def test_the_page_names_a_chain_that_is_not_whole_and_writes_no_markup_of_others() -> None:
    told = report(
        of(act("hold.add", reason="<script>alert(1)</script>"), problems=("link 2 is missing",)),
        SINCE,
        UNTIL,
        rto_minutes=None,
        rpo_minutes=None,
    )
    page = told.to_html()
    assert "The chain is not whole" in page
    assert "link 2 is missing" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert all(name.split(",")[0].split(":")[0] in page for name in SECTIONS)


def test_a_report_is_two_files_and_an_empty_time_is_refused(tmp_path: Path) -> None:
    written = write_report(of(act("x")), SINCE, UNTIL, Settings(), tmp_path / "new")
    assert [path.name for path in written.paths] == [
        "evidence-2026-01-01-2026-02-01.html",
        "evidence-2026-01-01-2026-02-01.json",
    ]
    assert all(path.stat().st_size > 100 for path in written.paths)
    with pytest.raises(OpsError, match="is empty"):
        write_report(of(), UNTIL, UNTIL, Settings(), tmp_path)
