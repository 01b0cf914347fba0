"""A copy is verified by what the endpoint offers, and what nobody can tell is not called wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import (
    Unverified,
    WrongContent,
    copy_to_class,
    head,
    put_once,
    read_object,
    told,
)
from ft_ops.s3.upload import PART_BYTES, UploadOnce
from tests.faults.proxy import Plan, Proxy
from tests.fixtures.s3 import Silence

CONTENT = b"the only copy of a month"


def test_a_copy_whose_answer_tells_no_checksum_is_asked_for(behind: Bucket, between: Proxy) -> None:
    stored = put_once(behind, "a", CONTENT)
    between.plan = Plan(filter=Silence(heads=False))
    copy = copy_to_class(behind, stored, "DEEP_ARCHIVE")
    assert (copy.sha256, copy.storage_class) == (stored.sha256, "DEEP_ARCHIVE")
    assert between.plan.seen[-1].startswith("HEAD")


def test_where_nobody_tells_one_it_is_taken_from_the_content(
    behind: Bucket, between: Proxy
) -> None:
    stored = put_once(behind, "a", CONTENT)
    between.plan = Plan(filter=Silence(heads=True))
    copy = copy_to_class(behind, stored, "GLACIER_IR")
    assert copy.sha256 == stored.sha256
    assert told(behind, copy).sha256 == ""
    assert between.plan.seen[-2].startswith("GET")


def test_other_content_is_wrong_by_whichever_way_it_is_seen(behind: Bucket, between: Proxy) -> None:
    stored = replace(put_once(behind, "a", CONTENT), sha256="0" * 64)
    for heads, storage_class in ((False, "DEEP_ARCHIVE"), (True, "GLACIER_IR")):
        between.plan = Plan(filter=Silence(heads=heads))
        with pytest.raises(WrongContent):
            copy_to_class(behind, stored, storage_class)


def test_a_copy_that_nobody_can_look_into_is_unverified_and_not_wrong(
    behind: Bucket, between: Proxy
) -> None:
    stored = put_once(behind, "a", CONTENT)
    between.plan = Plan(filter=Silence(heads=True))
    with pytest.raises(Unverified, match="tells no SHA-256") as refused:
        copy_to_class(behind, stored, "DEEP_ARCHIVE")
    assert "export" not in refused.value.next_step
    assert head(behind, stored).sha256 == stored.sha256


def test_an_upload_in_parts_needs_no_checksum_in_the_answers(
    behind: Bucket, between: Proxy
) -> None:
    between.plan = Plan(filter=Silence(heads=False))
    with UploadOnce(behind, "big") as sink:
        sink.write(bytes(PART_BYTES + 7))
    assert len(read_object(behind, sink.stored)) == PART_BYTES + 7
