"""What there is to tell of runs, of checks, of schedules and of the channels themselves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from ft_ops.alerting.messages import Alert, Level
from ft_ops.alerting.sent_log import News, Refusal
from ft_ops.orchestration.check_states import CheckState
from ft_ops.orchestration.deadlines import Late
from ft_ops.orchestration.failed_runs import RunFailure, name_of_run
from ft_ops.settings import Settings, run_link, runbook_link
from ft_ops.standing import Status

_NO_EVALUATION: Final = "no evaluation of "


def of_failed_run(settings: Settings, failure: RunFailure) -> News:
    """A run that failed, by what its steps say of it."""
    cause = "; ".join(failure.causes) or "it failed outside of its steps"
    what = f"{failure.name} for {failure.partition}" if failure.partition else failure.name
    alert = Alert(
        # The first words name what failed; what follows may hold numbers that vary.
        identity=f"run {what}: {cause[:80]}",
        level="error",
        title=f"{what} failed",
        detail=cause,
        link=run_link(settings, failure.run_id),
        runbook=runbook_link(settings, failure.section),
    )
    return News(alert, failure.run_id)


def of_failed_check(settings: Settings, state: CheckState) -> News:
    """A check that was evaluated, and failed."""
    level: Level = "warning" if state.status == Status.WARNING else "error"
    alert = _check_alert(settings, state, level, state.words or "no description")
    return News(alert, f"evaluation {state.evaluation}")


def of_recovered_check(settings: Settings, state: CheckState) -> News:
    """A check that passes again."""
    alert = _check_alert(settings, state, "recovered", "it passes again")
    return News(alert, f"evaluation {state.evaluation}")


def failing_identities(state: CheckState) -> list[str]:
    """Under which identities a failure of this check was told."""
    return [_check_identity(state, "error"), _check_identity(state, "warning")]


def of_crashed_evaluations(settings: Settings, states: Iterable[CheckState]) -> list[News]:
    """Jobs whose runs left checks without a result: nobody knows what those would have found."""
    by_job: dict[str, list[CheckState]] = {}
    for state in states:
        if state.crashed is not None:
            by_job.setdefault(name_of_run(state.crashed), []).append(state)
    return [_crashed(settings, job, found) for job, found in by_job.items()]


def crashed_identity(job: str) -> str:
    """Under which identity evaluations that a job did not make are told."""
    return f"{_NO_EVALUATION}{job}"


def job_of_crashed_identity(identity: str) -> str | None:
    """The job of such an identity, None for another."""
    is_such = identity.startswith(_NO_EVALUATION)
    return identity.removeprefix(_NO_EVALUATION) if is_such else None


def of_evaluated_again(settings: Settings, job: str, event: str) -> News:
    """The checks of a job have results again."""
    alert = Alert(
        identity=f"{crashed_identity(job)} recovered",
        level="recovered",
        title=f"the checks of {job} are evaluated again",
        detail="what they found is told by itself",
        link=None,
        runbook=runbook_link(settings, job),
        incident=crashed_identity(job),
    )
    return News(alert, event)


def of_late_schedule(settings: Settings, item: Late) -> News:
    """A schedule whose work was not done in time."""
    alert = Alert(
        identity=f"late {item.schedule}",
        level="error",
        title=f"{item.schedule} is late",
        detail=item.words,
        link=f"{settings.dagster_url.rstrip('/')}/automation" if settings.dagster_url else None,
        runbook=runbook_link(settings, "heartbeat"),
    )
    return News(alert, f"late {item.schedule} {item.due_at.astimezone(UTC).isoformat()}")


def of_doubled_daemons(settings: Settings, now: datetime) -> News:
    """Two processes that start what is scheduled."""
    alert = Alert(
        identity="more than one daemon",
        level="error",
        title="more than one Dagster daemon runs",
        detail="each evaluates the same ticks, so that a job may run twice at once; stop all but "
        "one",
        link=None,
        runbook=runbook_link(settings, "heartbeat"),
    )
    return News(alert, f"more than one daemon {now:%Y-%m-%dT%H}")


def of_refusing_channel(settings: Settings, name: str, refusal: Refusal) -> News:
    """A channel that takes no alerts, for those that hear by another."""
    alert = Alert(
        identity=f"channel {name} refuses",
        level="error",
        title=f"alerts by {name} do not arrive",
        detail=f"since {refusal.since:%Y-%m-%d %H:%M} UTC: {refusal.cause}",
        link=None,
        runbook=runbook_link(settings, "alert_on_failed_runs"),
    )
    return News(alert, f"channel {name} since {refusal.since.isoformat()}")


def _crashed(settings: Settings, job: str, states: list[CheckState]) -> News:
    runs = sorted({state.crashed.run_id for state in states if state.crashed is not None})
    names = ", ".join(sorted(state.key.name for state in states))
    alert = Alert(
        identity=crashed_identity(job),
        level="error",
        title=f"{job} ended without evaluating {len(states)} of its checks",
        detail=f"not known until they are evaluated again: {names}",
        link=run_link(settings, runs[-1]),
        runbook=runbook_link(settings, job),
    )
    return News(alert, f"no evaluation in {' '.join(runs)}")


def _check_alert(settings: Settings, state: CheckState, level: Level, detail: str) -> Alert:
    says = "passes again" if level == "recovered" else "fails"
    return Alert(
        identity=_check_identity(state, level),
        level=level,
        title=f"check {state.key.name} of {state.key.asset_key.to_user_string()} {says}",
        detail=detail,
        link=run_link(settings, state.run_id) if state.run_id else None,
        runbook=runbook_link(settings, state.key.name),
        incident=f"check {state.key.asset_key.to_user_string()} {state.key.name}",
    )


def _check_identity(state: CheckState, level: Level) -> str:
    return f"check {state.key.asset_key.to_user_string()} {state.key.name} {level}"
