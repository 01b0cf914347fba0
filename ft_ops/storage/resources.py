"""What the storage's Dagster definitions share."""

import dagster as dg
from pydantic import Field


class StorageConfig(dg.Config):
    """Launch config of `monthly_storage`."""

    full: bool = Field(
        default=False,
        description="Count every month, whatever the signals say, add every sum up anew, and "
        "report what differs from the incremental figures. The weekly schedule turns this on.",
    )
