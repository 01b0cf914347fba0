"""The server and its catalog, beyond what migrations make, as an asset and its checks."""

from collections.abc import Sequence

import dagster as dg

from ft_ops.clock import utc_now
from ft_ops.health.server.problem import Problem
from ft_ops.health.server.questions import QUESTIONS, answer
from ft_ops.orchestration.jobs import OWNERS
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure

# MaterializeResult stands bare below: with check_specs, Dagster takes no subscripted annotation.


@dg.asset(
    deps=["schema"],
    group_name="health",
    kinds={"postgres"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(question.check, asset="server_state", description=question.holds)
        for question in QUESTIONS
    ],
    description=(
        "What befalls a server beside what migrations make: checksums, versions, constraints and "
        "collations left behind, sequences near their end, publications and slots. One that could "
        "not be asked stops none of the others."
    ),
)
def server_state(database: DatabaseResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    now = utc_now()
    with as_failure(), database.connect("server state", statement_timeout="60s") as connection:
        answers = {question.check: answer(question, connection, now) for question in QUESTIONS}
    return dg.MaterializeResult(
        metadata={
            "problems": table(
                ["check", "error", "problem"],
                (
                    (check, problem.is_error, problem.words)
                    for check, problems in answers.items()
                    for problem in problems
                ),
            )
        },
        check_results=[_result(check, problems) for check, problems in answers.items()],
    )


def _result(check: str, problems: Sequence[Problem]) -> dg.AssetCheckResult:
    is_error = any(problem.is_error for problem in problems)
    return dg.AssetCheckResult(
        check_name=check,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description="; ".join(problem.words for problem in problems) or "in order",
    )
