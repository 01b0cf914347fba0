"""What lies behind a key: one request, however much lies before it."""

from __future__ import annotations

from collections.abc import Iterator

from ft_ops.s3.bucket import Bucket, naming


def keys_behind(bucket: Bucket, prefix: str, key: str) -> Iterator[str]:
    """The keys of versions below a prefix that come after a key, delete markers left out."""
    with naming(bucket.url(prefix)):
        page = bucket.client.list_object_versions(Bucket=bucket.name, Prefix=prefix, KeyMarker=key)
        while True:
            yield from (item["Key"] for item in page.get("Versions", []))
            if not page.get("IsTruncated"):
                return
            page = bucket.client.list_object_versions(
                Bucket=bucket.name,
                Prefix=prefix,
                KeyMarker=page["NextKeyMarker"],
                VersionIdMarker=page["NextVersionIdMarker"],
            )


def objects_behind(bucket: Bucket, prefix: str, key: str) -> Iterator[str]:
    """The keys of objects below a prefix that come after a key, as a reader finds them."""
    with naming(bucket.url(prefix)):
        pages = bucket.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket.name, Prefix=prefix, StartAfter=key
        )
        for page in pages:
            yield from (item["Key"] for item in page.get("Contents", []))
