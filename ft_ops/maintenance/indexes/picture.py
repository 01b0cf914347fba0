"""A picture of the largest indexes: what they hold, and what a rebuild would free."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Final

from ft_ops.maintenance.indexes.bloat import Estimate

_SHOWN: Final = 15
_MEGABYTE: Final = 1_000_000


def bloat_picture(estimates: Sequence[Estimate]) -> str:
    """The 15 largest indexes as a bar chart, a Markdown image that carries its own data."""
    from matplotlib.figure import Figure

    largest = sorted(estimates, key=lambda e: e.index.bytes, reverse=True)[:_SHOWN][::-1]
    names = [estimate.index.name for estimate in largest]
    wasted = [estimate.reclaimable_bytes / _MEGABYTE for estimate in largest]
    kept = [(e.index.bytes - e.reclaimable_bytes) / _MEGABYTE for e in largest]
    figure = Figure(figsize=(8, 0.6 + 0.3 * max(1, len(largest))), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, kept, color="#4c72b0", label="in use")
    axes.barh(names, wasted, left=kept, color="#dd8452", label="reclaimable")
    axes.set_xlabel("MB")
    axes.legend(loc="lower right")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=90)
    return f"![index bloat](data:image/png;base64,{base64.b64encode(image.getvalue()).decode()})"
