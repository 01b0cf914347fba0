"""The storage of one family on demand, from the launchpad."""

from uuid import UUID

import dagster as dg
from pydantic import Field

from ft_ops.errors import OpsError
from ft_ops.format import human_bytes
from ft_ops.orchestration.jobs import op_job
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.storage.family import family_usage


class FamilyConfig(dg.Config):
    """Launch config of `report_family_storage`."""

    family_id: str = Field(description="The id of the family whose storage is to be shown.")


@dg.op(description="Counts one family's books from their content, and shows them.")
def family_storage_report(
    context: dg.OpExecutionContext, config: FamilyConfig, database: DatabaseResource
) -> None:
    with as_failure(), database.connect("storage") as connection:
        usage = family_usage(connection, _uuid(config.family_id))
    context.add_output_metadata(
        {
            "family": usage.name,
            "bytes": human_bytes(usage.used_bytes),
            "limit": "none" if usage.limit_bytes is None else human_bytes(usage.limit_bytes),
            "books": table(
                ["book", "title", "segments", "text bytes", "recordings", "photos", "bytes"],
                (
                    (
                        str(book.memory_book_id),
                        book.title,
                        book.segment_count,
                        book.text_bytes,
                        book.audio_count,
                        book.photo_count,
                        book.total_bytes,
                    )
                    for book in usage.books
                ),
            ),
        }
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise OpsError(
            f"family {text!r}",
            cause="that is no id",
            next_step="give the family's id, such as 0f8fad5b-d9cb-469f-a165-70867728950e",
        ) from error


@op_job("The storage of one family, book by book: give its id in the launch config.")
def report_family_storage() -> None:
    family_storage_report()
