"""A key of KMS is disabled, and with it some objects can't be read: unknown, by name, and no more.

To a GET S3 says which key it is; to a HEAD it answers with a number alone.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.store.presence import look
from ft_ops.errors import OpsError
from ft_ops.s3.bucket import open_bucket
from tests.archive.world import MONTH, World
from tests.faults.proxy import Answer, Plan, proxy

OTHER = MONTH.plus(1)


def disabled(method: str, target: str, answer: Answer) -> Answer:
    """The key of the objects of one month is disabled; listings and records are not affected."""
    path = unquote(urlsplit(target).path)
    if method == "PUT" or "/month=03/" not in path:
        return answer
    code = "KMS.DisabledException"
    body = f"<Error><Code>{code}</Code><Message>the key is disabled</Message></Error>"
    headers = [("Content-Type", "application/xml")]
    return Answer(400, headers, b"" if method == "HEAD" else body.encode())


@pytest.mark.chaos
def test_a_month_whose_key_is_disabled_is_unknown_and_the_others_go_on(
    world: World, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for month in (MONTH, OTHER):
        world.fill(month, segments=8)
        world.archive(month)
    world.verified_backup()
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    before = {month: world.rows(month) for month in (MONTH, OTHER)}
    direct = world.bucket
    with proxy(s3_endpoint) as between:
        between.plan = Plan(filter=disabled)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", between.url)
        world.bucket = open_bucket(direct.name)
        [(name, lines)] = look(world.connection, world.bucket).problems.items()
        assert name == "2017-03 generation 1"
        said = [line for line in lines if "KMS.DisabledException the key is disabled" in line]
        assert "table=manifest" in said[0]
        assert not any("is not there" in line for line in lines)
        assert [world.plan(month).decision for month in (MONTH, OTHER)] == ["refuse", "purge"]
        with pytest.raises(OpsError, match="enable it or cancel its deletion"):
            world.freeze()
        [unknown, plan] = plan_erasures(world.connection, world.bucket)
        assert unknown.problem is not None
        assert "table=subjects/year=2017/month=03" in unknown.problem.cause
        assert plan.problem is None
        assert world.purge(OTHER).generation.state == "purged"
        assert world.rows_when_thawed(OTHER) == before[OTHER]
    world.bucket = direct
    assert look(world.connection, world.bucket).problems == {}
    assert world.purge().generation.state == "purged"
    assert world.rows_when_thawed() == before[MONTH]
