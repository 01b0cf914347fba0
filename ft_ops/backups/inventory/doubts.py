"""What a person should look at of a backup, in sentences."""

from __future__ import annotations

from ft_ops.backups.inventory.ledger import Entry


def doubts(entry: Entry, problem: str | None) -> list[str]:
    """What nobody acknowledged, and what nobody knows: a refutation, a loss, no verdict.

    ``problem`` is why the backup does not count, None if it does. What never was a whole backup is
    no doubt about one.
    """
    if entry.state == "failed":
        return []
    found = []
    if entry.verdict == "refuted" and not entry.is_acknowledged:
        found.append(
            f"{entry.name} was refuted by its last drill: {entry.finding}. Nothing deletes it "
            "until it is drilled again or acknowledged"
        )
    elif entry.was_verified and problem is not None and not entry.is_acknowledged:
        found.append(
            f"{entry.name} was verified once, and now: {problem}. Nothing deletes it until it is "
            "whole again or acknowledged"
        )
    if entry.log_finding is not None:
        found.append(f"the way behind {entry.name} was refuted: {entry.log_finding}")
    if entry.unread_refutation is not None:
        found.append(entry.unread_refutation)
    if entry.undecided is not None:
        found.append(f"the last drill of {entry.name} came to no verdict: {entry.undecided}")
    return found
