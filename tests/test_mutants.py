"""A mutant that survives is told by what was changed, and is a failure unless it is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mutants import Change, Report, read_report

MODULE = """\
def x_is_late__mutmut_orig(age: int) -> bool:
    return age > 26
def x_is_late__mutmut_1(age: int) -> bool:
    return age >= 26
class Month:
    def xǁMonthǁplus__mutmut_orig(self, n: int) -> int:
        return max(
            n,
            0,
        )
    def xǁMonthǁplus__mutmut_1(self, n: int) -> int:
        return max(
            n,
        )
"""
LATE = Change("ft_ops.late.is_late", "return age > 26", "return age >= 26")
PLUS = Change("ft_ops.late.Month.plus", "0,", "")


def report(
    folder: Path, late: int | None, plus: int | None, known: tuple[Change, ...] = ()
) -> Report:
    """Of a run of two mutants that ended with these statuses of pytest."""
    module = folder / "mutants" / "ft_ops" / "late.py"
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(MODULE, encoding="utf-8")
    statuses = {
        "ft_ops.late.x_is_late__mutmut_1": late,
        "ft_ops.late.xǁMonthǁplus__mutmut_1": plus,
    }
    spans = {
        "x_is_late__mutmut_orig": [1, 2],
        "x_is_late__mutmut_1": [3, 4],
        "xǁMonthǁplus__mutmut_orig": [6, 10],
        "xǁMonthǁplus__mutmut_1": [11, 14],
    }
    module.with_name("late.py.meta").write_text(json.dumps({"exit_code_by_key": statuses}))
    module.with_name("late.py.spans").write_text(json.dumps({"spans": spans}))
    listed = folder / "mutants.toml"
    listed.write_text(
        "".join(
            f"[[equivalent]]\nfunction = '{c.function}'\nbefore = '{c.before}'\n"
            f"after = '{c.after}'\nreason = 'it means the same'\n"
            for c in known
        )
    )
    return read_report(folder / "mutants", listed)


def test_what_the_tests_noticed_is_fine(tmp_path: Path) -> None:
    # 1: a test failed; -24: it never ended.
    found = report(tmp_path, 1, -24)
    assert found.problems == []
    assert str(found).startswith("2 mutants: 2 killed, 0 survived (0.0%)")


@pytest.mark.parametrize("status", [0, 5, 33])
def test_a_survivor_is_told_by_its_lines(tmp_path: Path, status: int) -> None:
    found = report(tmp_path, status, status)
    assert found.unknown == [LATE, PLUS]
    assert "1 survived that tests/mutants.toml does not have" in report(tmp_path, 0, 1).problems
    assert "  - return age > 26\n  + return age >= 26\n" in str(found)


def test_a_survivor_that_is_known_to_mean_the_same_is_no_problem_up_to_one_in_ten() -> None:
    one_of = Report({"killed": 9, "survived": 1}, (LATE,), {LATE: "it means the same"})
    assert one_of.problems == []
    too_many = Report({"killed": 8, "survived": 1}, (LATE,), {LATE: "it means the same"})
    assert too_many.problems == ["more than one in 10 survived"]


def test_a_list_that_has_what_did_not_survive_is_a_problem(tmp_path: Path) -> None:
    found = report(tmp_path, 1, 1, (LATE, PLUS))
    assert found.problems == ["2 of tests/mutants.toml did not survive"]
    assert report(tmp_path, 0, 0, (LATE, PLUS)).unknown == []


def test_a_run_that_did_not_end_says_nothing(tmp_path: Path) -> None:
    assert report(tmp_path, 1, None).problems == ["1 were not tried: the run did not end"]
    (tmp_path / "none.toml").write_text("")
    assert read_report(tmp_path / "none", tmp_path / "none.toml").problems == [
        "there are no mutants"
    ]
