"""An S3 that fails, answers late, half or not at all, or forgets what it was told, does no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.faults.chaos import LIFE, Chaos, Point, Step, Strike, path
from tests.faults.probe import Moment
from tests.faults.proxy import MISCHIEF, Answer, Mischief, Plan, Proxy, proxy
from tests.faults.runs import Ended
from tests.faults.spread import Spread
from tests.faults.world import World

Survived = Callable[[Iterator[Strike]], None]

_ALWAYS: Final[tuple[Mischief, ...]] = ("lost answer", "half body")
_ALIKE: Final[tuple[Mischief, ...]] = ("500", "time-out")
_IN_TURN: Final = tuple(mischief for mischief in MISCHIEF if mischief not in _ALWAYS)


@pytest.fixture
def faulty(settings: dict[str, str]) -> Iterator[Proxy]:
    with proxy(settings["AWS_ENDPOINT_URL_S3"]) as running:
        yield running


@pytest.mark.parametrize(
    "mischief",
    [
        # A client answers a 500 like a 503, and silence like a reset: for the long runs.
        pytest.param(mischief, marks=[pytest.mark.chaos] if mischief in _ALIKE else [])
        for mischief in MISCHIEF
    ],
)
def test_one_request_that_goes_wrong_is_survived(
    chaos: Chaos, survived: Survived, faulty: Proxy, mischief: Mischief
) -> None:
    requests = _requests(chaos, "archive")
    number = requests[len(requests) // 2 + MISCHIEF.index(mischief)]
    survived(iter([_struck(chaos, faulty, "archive", Plan(mischief, number))]))


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("step", LIFE)
def test_a_request_goes_wrong(
    chaos: Chaos, survived: Survived, faulty: Proxy, spread: Spread, step: Step
) -> None:
    wrongs = [
        (mischief, number)
        for number in _requests(chaos, step)
        for mischief in (*_ALWAYS, _IN_TURN[number % len(_IN_TURN)])
    ]
    survived(
        _struck(chaos, faulty, step, Plan(mischief, number))
        for mischief, number in spread.among(wrongs, 20)
    )


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("step", LIFE)
def test_all_requests_fail_from_one_on(
    chaos: Chaos, survived: Survived, faulty: Proxy, spread: Spread, step: Step
) -> None:
    survived(
        _struck(chaos, faulty, step, Plan(MISCHIEF[number % len(MISCHIEF)], number, lasting=True))
        for number in spread.among(_requests(chaos, step), 5)
    )


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("step", LIFE)
def test_listings_are_stale(chaos: Chaos, survived: Survived, faulty: Proxy, step: Step) -> None:
    """An endpoint that lists what was there a while ago: here, nothing."""
    survived(iter([_stale(chaos, faulty, step)]))


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("step", LIFE)
def test_a_killed_step_is_finished_by_stale_listings(
    chaos: Chaos, survived: Survived, faulty: Proxy, spread: Spread, step: Step
) -> None:
    """What the dead run left is not listed to the next one."""
    moments = spread.among(chaos.moments(step), 10)
    survived(_killed_then_stale(chaos, faulty, step, moments))


def _struck(chaos: Chaos, faulty: Proxy, step: Step, plan: Plan) -> Strike:
    with chaos.world_before(step) as world:
        faulty.plan = plan
        endpoints = {"AWS_ENDPOINT_URL": faulty.url, "AWS_ENDPOINT_URL_S3": faulty.url}
        end = chaos.zygote.finish(path(step), world.arguments, environment=endpoints)
        lasting = " and all later ones" if plan.lasting else ""
        at = _in_words(plan.seen[plan.first - 1]) if plan.first <= len(plan.seen) else "none"
        fault = f"S3: {plan.mischief}{lasting}"
        return chaos.judge(world, Point(step, plan.first, at, fault), end)


def _stale(chaos: Chaos, faulty: Proxy, step: Step) -> Strike:
    with chaos.world_before(step) as world:
        end = _finish_blindly(chaos, faulty, step, world)
        point = Point(step, 0, "all", "S3: stale listings")
        return chaos.judge(world, point, end, may_leave=True)


def _finish_blindly(chaos: Chaos, faulty: Proxy, step: Step, world: World) -> Ended:
    faulty.plan = Plan(filter=_nothing_listed)
    endpoints = {"AWS_ENDPOINT_URL": faulty.url, "AWS_ENDPOINT_URL_S3": faulty.url}
    return chaos.zygote.finish(path(step), world.arguments, environment=endpoints)


def _killed_then_stale(
    chaos: Chaos, faulty: Proxy, step: Step, moments: Iterable[tuple[int, Moment]]
) -> Iterator[Strike]:
    for number, moment in moments:
        with chaos.world_before(step) as world:
            run = chaos.zygote.start(path(step), world.arguments, pause_at=(number, moment))
            try:
                if run.pause() is None:
                    continue
                run.kill()
            finally:
                run.close()
            chaos.wait_for_backends(world)
            end = _finish_blindly(chaos, faulty, step, world)
            point = Point(step, number, moment, "killed, then stale listings")
            yield chaos.judge(world, point, end, may_leave=True)


def _requests(chaos: Chaos, step: Step) -> list[int]:
    """The numbers of a step's requests, among requests."""
    count = sum(label.startswith("S3 ") for label in chaos.points(step))
    return list(range(1, count + 1))


def _in_words(request: str) -> str:
    method, _, target = request.partition(" ")
    parts = urlsplit(target)
    key = parts.path.strip("/").partition("/")[2]
    return f"{method} {key} {' '.join(sorted(parse_qs(parts.query, keep_blank_values=True)))}"


def _nothing_listed(method: str, target: str, answer: Answer) -> Answer:
    query = parse_qs(urlsplit(target).query, keep_blank_values=True)
    for listing in ("versions", "uploads"):
        if method == "GET" and listing in query:
            name = {"versions": "ListVersionsResult", "uploads": "ListMultipartUploadsResult"}
            body = f"<{name[listing]}><IsTruncated>false</IsTruncated></{name[listing]}>"
            return Answer(200, [("Content-Type", "application/xml")], body.encode())
    return answer
