"""Days: exact ones in any usual form are read, and what may name two days never is."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.data.dates import iso_day


@pytest.mark.parametrize(
    "written",
    [
        "2024-03-31",
        " 2024-03-31 ",
        "2024-03-31T23:59:00Z",
        "2024-03-31 00:00:00",
        "2024-03-31T10:00:00.123+02:00",
        "20240331",
        "2024/3/31",
        "31/03/2024",
        "31.3.2024",
        "03/31/2024",
        "31 March 2024",
        "31st Mar. 2024",
        "31-Mar-2024",
        "March 31, 2024",
        "MAR 31 2024",
        datetime.date(2024, 3, 31),
        datetime.datetime(2024, 3, 31, 12),
        20240331,
    ],
)
def test_exact_days(written: object) -> None:
    assert iso_day(written) == "2024-03-31"


@pytest.mark.parametrize("nothing", [None, "", "  ", float("nan")])
def test_nothing_is_no_day(nothing: object) -> None:
    assert iso_day(nothing) is None


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("03/04/2024", "may name two"),
        ("1.2.2024", "may name two"),
        ("2024-03", "no exact day"),
        ("2024", "no exact day"),
        ("2024131", "no exact day"),
        ("31/03/24", "no exact day"),
        ("in spring", "no exact day"),
        ("5 Octember 2024", "no exact day"),
        ("2024-02-30", "no day of the calendar"),
        ("31/31/2024", "no day of the calendar"),
    ],
)
def test_other_dates_are_refused(written: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        iso_day(written)


@given(st.dates(min_value=datetime.date(1000, 1, 1)))
def test_every_day_is_read_back_and_equal_numbers_name_one_day(day: datetime.date) -> None:
    assert iso_day(day.isoformat()) == iso_day(f"{day:%d %B %Y}") == iso_day(f"{day:%B %d, %Y}") == day.isoformat()
    for written in (f"{day:%d/%m/%Y}", f"{day:%m/%d/%Y}"):
        if day.day > 12 or day.day == day.month:
            assert iso_day(written) == day.isoformat()
        else:
            with pytest.raises(ValueError, match="may name two"):
                iso_day(written)
