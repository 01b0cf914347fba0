"""Where one server's backups and log lie, in barman-cloud's terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ft_ops.s3.bucket import Bucket

CATALOG_TIMEOUT_SECONDS: Final = 600
"""How long barman may take for what only reads or changes its catalog."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of a bucket, and the server's name in it."""

    bucket: Bucket
    folder: str
    server: str

    @property
    def arguments(self) -> list[str]:
        """What each of its commands is given."""
        return [*self.options, f"s3://{self.bucket.name}/{self.folder}", self.server]

    @property
    def options(self) -> list[str]:
        """Where the bucket is, unless boto3's settings say it."""
        endpoint = self.bucket.endpoint_url
        return [] if endpoint is None else ["--endpoint-url", endpoint]

    @property
    def base(self) -> str:
        """The prefix of the backups."""
        return f"{self.folder}/{self.server}/base/"

    @property
    def wals(self) -> str:
        """The folder of the log."""
        return f"{self.folder}/{self.server}/wals"
