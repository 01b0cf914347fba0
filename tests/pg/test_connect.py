"""What may be said of a connection string."""

from __future__ import annotations

import pytest

from ft_ops.errors import OpsError
from ft_ops.pg.connect import connection_string, describe

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ft_ops:1/{SECRET}@localhost/familytales",
        f"postgresql://ft_ops:1%40/{SECRET}@localhost/familytales",
        f"postgresql://ft_ops:1@{SECRET}@localhost/familytales",
        f"postgresql://ft_ops:1:{SECRET}@localhost:port/familytales",
        f"ft_ops:{SECRET}@localhost/familytales",
        f"host = localhost password = {SECRET} port = x = y",
    ],
)
def test_a_password_that_cuts_its_url_is_never_told(url: str) -> None:
    assert describe(url) == "(unreadable URL)"
    with pytest.raises(OpsError) as refused:
        connection_string(url, application="tests")
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://ft_ops:1%402%2F3@localhost:5432/tales", "ft_ops@localhost:5432/tales"),
        ("postgresql://ft_ops@/tales?host=/run/postgresql", "ft_ops@/run/postgresql/tales"),
        ("postgresql://ft_ops@localhost/tales%40home", "ft_ops@localhost/tales@home"),
        ("host=localhost user=ft_ops password=a@b dbname=tales", "ft_ops@localhost/tales"),
    ],
)
def test_a_url_that_can_be_read_is_told_without_its_password(url: str, told: str) -> None:
    assert describe(url) == told
