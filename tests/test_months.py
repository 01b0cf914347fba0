"""A month is one of the calendar, in UTC, and is counted across the end of a year."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from ft_ops.errors import OpsError
from ft_ops.months import Month


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2017-03-01", Month(2017, 3)),
        ("2017-03", Month(2017, 3)),
        ("0001-01", Month(1, 1)),
        ("9999-12-01", Month(9999, 12)),
    ],
)
def test_a_month_is_read_from_a_partition_key_or_its_shorter_form(text: str, month: Month) -> None:
    assert Month.parse(text) == month


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "expected YYYY-MM or YYYY-MM-01"),
        ("2017-3", "expected YYYY-MM or YYYY-MM-01"),
        ("2017-03-02", "expected YYYY-MM or YYYY-MM-01"),
        ("2017-03-01 ", "expected YYYY-MM or YYYY-MM-01"),
        ("12017-03", "expected YYYY-MM or YYYY-MM-01"),
        ("2017-00", "month must be in 1..12"),
        ("2017-13", "month must be in 1..12"),
        ("0000-01", "year 0 is out of range"),
    ],
)
def test_any_other_text_is_refused_with_its_problem(text: str, cause: str) -> None:
    with pytest.raises(OpsError) as refused:
        Month.parse(text)
    assert refused.value.what == f"month {text!r}"
    assert refused.value.cause.startswith(cause)
    assert refused.value.next_step == "name a month such as 2017-03-01"


@pytest.mark.parametrize(("year", "month"), [(2017, 0), (2017, 13), (0, 1), (10_000, 1)])
def test_a_month_that_no_calendar_has_is_none(year: int, month: int) -> None:
    with pytest.raises(ValueError, match=r"month|year"):
        Month(year, month)


def test_the_month_of_a_moment_is_that_of_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert Month.of(date(2017, 3, 31)) == Month(2017, 3)
    assert Month.of(datetime(2017, 2, 28, 23, 59, tzinfo=UTC)) == Month(2017, 2)
    assert Month.of(datetime(2017, 1, 1, 1, 59, tzinfo=east)) == Month(2016, 12)
    assert Month.of(datetime(2017, 1, 1, 2, tzinfo=east)) == Month(2017, 1)


def test_the_month_of_a_moment_is_that_of_utc_wherever_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert Month.of(datetime(2016, 12, 31, 20, tzinfo=UTC)) == Month(2016, 12)
    time.tzset()


@pytest.mark.parametrize(
    ("months", "found"),
    [
        (0, Month(2017, 3)),
        (9, Month(2017, 12)),
        (10, Month(2018, 1)),
        (-2, Month(2017, 1)),
        (-3, Month(2016, 12)),
        (-15, Month(2015, 12)),
        (84, Month(2024, 3)),
    ],
)
def test_months_are_counted_across_years(months: int, found: Month) -> None:
    assert Month(2017, 3).plus(months) == found
    assert found.plus(-months) == Month(2017, 3)


def test_december_ends_where_january_begins() -> None:
    december = Month(2016, 12)
    assert december.start == datetime(2016, 12, 1, tzinfo=UTC)
    assert december.end == Month(2017, 1).start == datetime(2017, 1, 1, tzinfo=UTC)
    assert december.first_day == date(2016, 12, 1)


def test_months_until_another_include_both() -> None:
    found = list(Month(2016, 11).until(Month(2017, 2)))
    assert found == [Month(2016, 11), Month(2016, 12), Month(2017, 1), Month(2017, 2)]
    assert list(Month(2017, 2).until(Month(2017, 2))) == [Month(2017, 2)]
    assert list(Month(2017, 2).until(Month(2017, 1))) == []


def test_months_are_ordered_by_time_and_written_with_leading_zeros() -> None:
    assert Month(2016, 12) < Month(2017, 1) < Month(2017, 2)
    assert Month(2017, 3).key == "2017-03-01"
    assert Month(2017, 3).suffix == "2017_03"
    assert str(Month(2017, 3)) == "2017-03"
    assert (Month(976, 3).key, Month(976, 3).suffix) == ("0976-03-01", "0976_03")
