"""A picture of the retention ladder."""

from __future__ import annotations

import base64
from datetime import datetime
from io import BytesIO

from ft_ops.backups.retention.retention import RetentionDecision, RetentionPlan

_ROWS = ("dumps", "increments", "monthly", "weekly", "daily", "fulls")
_COLOURS = {"verified": "#2a7f3f", "refuted": "#b3261e", "unproven": "#8a8a8a"}


def ladder_picture(plan: RetentionPlan, now: datetime) -> str:
    """A PNG as Markdown: time from left to right, a row a tier, colours by trust."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6), dpi=90, layout="constrained")
    axes = figure.subplots()
    for number, row in enumerate(_ROWS):
        shown = [decision for decision in plan.decisions if _is_in_row(decision, row)]
        axes.scatter(
            [_days(decision.candidate.taken_at) for decision in shown],
            [number] * len(shown),
            c=[_colour(decision) for decision in shown],
            s=36,
            marker="|" if row == "increments" else "o",
        )
    axes.set_yticks(range(len(_ROWS)), _ROWS)
    axes.set_ylim(-0.6, len(_ROWS) - 0.4)
    axes.axvline(_days(now), color="#c0c0c0", linewidth=1)
    axes.xaxis_date("UTC")
    figure.autofmt_xdate(rotation=0, ha="center")
    axes.set_title("kept backups: green verified, red refuted, grey not restored yet", fontsize=9)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return f"![ladder](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def _is_in_row(decision: RetentionDecision, row: str) -> bool:
    kind = decision.candidate.kind
    if row in {"dumps", "increments", "fulls"}:
        return f"{kind}s" == row
    tier = {"daily": "day", "weekly": "week", "monthly": "month"}[row]
    return any(reason.startswith(f"first of {tier} ") for reason in decision.reasons)


def _days(moment: datetime) -> float:
    """Days since 1970, in which matplotlib measures dates."""
    return moment.timestamp() / 86_400


def _colour(decision: RetentionDecision) -> str:
    return _COLOURS[decision.candidate.trust]
