"""Numbers as people read them."""

from __future__ import annotations

import math
from datetime import timedelta


def human_bytes(count: float) -> str:
    """``12.3 MB``, in powers of ten."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" or abs(size) >= 100 else f"{size:.1f} {unit}"


def human_duration(seconds: float) -> str:
    """``0.3 s``, ``12 s``, ``4 min``, ``3.5 h`` or ``12 days``; without end, ``unknown``."""
    if math.isinf(seconds):
        return "unknown"
    span = timedelta(seconds=seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if span < timedelta(minutes=2):
        return f"{seconds:.0f} s"
    if span < timedelta(hours=2):
        return f"{seconds / 60:.0f} min"
    if span < timedelta(days=2):
        return f"{seconds / 3600:.1f} h"
    return f"{span.days} days"


def human_dollars(amount: float) -> str:
    """``$1,234.56``; what nobody would pay for is ``nothing`` or ``less than one cent``."""
    if 0 < amount < 0.01:
        return "less than one cent"
    return f"${amount:,.2f}" if amount else "nothing"


def one_line(text: str) -> str:
    """A person's text without line breaks, and without what nobody sees."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
