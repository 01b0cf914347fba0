"""What people look at: growth by month, bytes by kind, the largest families, who is near a limit.

pandas arranges here what the server has added up; it computes no total that is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING
from uuid import UUID

from psycopg.rows import class_row, dict_row

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

if TYPE_CHECKING:
    import pandas as pd

KINDS = {
    "text_bytes": "texts",
    "transcript_bytes": "transcripts",
    "recording_bytes": "recordings",
    "photo_bytes": "photos",
}

RECORDING_BYTES = 1_048_576
PHOTO_BYTES = 524_288

_GIBIBYTE = 1 << 30


@dataclass(frozen=True, slots=True)
class FamilyLimit:
    """A family's bytes against its limit; ``percent`` is None when the limit is zero."""

    id: UUID
    name: str
    subscription_tier: str | None
    bytes: int
    limit_bytes: int | None
    percent: float | None


@dataclass(frozen=True, slots=True)
class OverLimits:
    """How many families are above the warning, and how many above the limit itself.

    ``families`` are the fullest of them.
    """

    above_warning: int
    above_limit: int
    families: tuple[FamilyLimit, ...]


def months_frame(connection: Connection) -> pd.DataFrame:
    """One row a month in order: segments, bytes by kind and in all, running total, growth.

    ``growth_percent`` is the month's own bytes against the month before.
    """
    import pandas as pd

    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("storage/months_report")).fetchall()
        columns = [column.name for column in cursor.description or []]
    frame = pd.DataFrame(rows, columns=columns)
    frame["total_bytes"] = frame["bytes"].cumsum()
    before = frame["bytes"].shift(1)
    frame["growth_percent"] = ((frame["bytes"] - before) / before.where(before > 0) * 100).round(1)
    return frame


def kinds_frame(months: pd.DataFrame) -> pd.DataFrame:
    """Bytes and share of texts, transcripts, recordings and photos; four rows."""
    import pandas as pd

    sums = months[list(KINDS)].sum().astype("int64")
    total = max(int(sums.sum()), 1)
    return pd.DataFrame(
        {
            "kind": [KINDS[column] for column in sums.index],
            "bytes": sums.to_numpy(),
            "percent": (sums.to_numpy() / total * 100).round(1),
        }
    )


@dataclass(frozen=True, slots=True)
class MediaEstimateError:
    """Real sizes against the estimate. Media that the inventory misses are in neither's favour."""

    media: int
    unsized: int
    estimated_bytes: int
    counted_bytes: int

    @property
    def percent(self) -> float:
        """How much more, or when negative less, the media really occupy."""
        if self.estimated_bytes == 0:
            return 0.0
        return round((self.counted_bytes / self.estimated_bytes - 1) * 100, 1)


def estimate_error(months: pd.DataFrame) -> MediaEstimateError:
    """How far 1,048,576 bytes a recording and 524,288 a photo are from what was counted."""
    recordings, photos = int(months["recordings"].sum()), int(months["photos"].sum())
    return MediaEstimateError(
        media=recordings + photos,
        unsized=int(months["unsized"].sum()),
        estimated_bytes=recordings * RECORDING_BYTES + photos * PHOTO_BYTES,
        counted_bytes=int(months["recording_bytes"].sum() + months["photo_bytes"].sum()),
    )


def growth_picture(months: pd.DataFrame) -> bytes:
    """A PNG: each month's gibibytes stacked by kind, and the running total as a line."""
    import pandas as pd
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2))
    figure.subplots_adjust(left=0.1, right=0.9, bottom=0.2, top=0.96)
    axes = figure.subplots()
    # One outline a kind, and margins that are known: hundreds of bars, and a layout that has to be
    # searched for, took longer than the counting.
    places = range(len(months))
    edges = [place - 0.5 for place in range(len(months) + 1)]
    base = pd.Series(0.0, index=months.index)
    for column, kind in KINDS.items():
        top = base + months[column] / _GIBIBYTE
        axes.stairs(top, edges, baseline=base, fill=True, label=kind)
        base = top
    axes.set_ylabel("GiB of the month")
    shown = places[:: max(1, len(months) // 24)]
    axes.set_xticks(shown, [f"{months['month'].iloc[place]:%Y-%m}" for place in shown])
    axes.tick_params(axis="x", rotation=90, labelsize=7)
    axes.set_xlim(-0.5, max(1, len(months)) - 0.5)
    axes.legend(loc="upper left", fontsize=7)
    total = axes.twinx()
    total.plot(places, months["total_bytes"] / _GIBIBYTE, color="black", linewidth=1)
    total.set_ylabel("GiB in all")
    total.set_ylim(bottom=0)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def top_families(connection: Connection, *, most: int) -> list[FamilyLimit]:
    """The families that occupy most."""
    with connection.cursor(row_factory=class_row(FamilyLimit)) as cursor:
        return cursor.execute(statement("storage/top_families"), {"most": most}).fetchall()


def families_over_limit(connection: Connection, *, warn_percent: int, most: int) -> OverLimits:
    """Families above ``warn_percent`` of their limit, the fullest first, at most ``most`` shown."""
    with connection.cursor() as cursor:
        rows = cursor.execute(
            statement("storage/families_over_limit"), {"percent": warn_percent, "most": most}
        ).fetchall()
    if not rows:
        return OverLimits(0, 0, ())
    return OverLimits(
        above_warning=rows[0][6],
        above_limit=rows[0][7],
        families=tuple(FamilyLimit(*row[:6]) for row in rows),
    )
