"""Checks archived files against their manifest, without PostgreSQL and without this project.

    python verify_archive.py MANIFEST.json FOLDER

needs pyarrow alone. FOLDER holds the objects under their whole keys, as `aws s3 sync` leaves them.
Of each object it compares size and SHA-256, and of each table its rows and `sha256`. Exit status: 0
all is as it was proven, 1 something is not, 2 something could not be looked at.

The `sha256` of a table does not depend on the order of its rows. A row is the bytes of its values
one after the other, in the order of the manifest's `columns` that are not `generated`:

    NULL              -
    any other value   the number of its bytes in decimal, a colon, its bytes

and the bytes of a value are

    text, json, jsonb, and what the manifest calls as_text    its UTF-8
    uuid, bytea                                               its bytes
    integers                                                  in decimal
    boolean                                                   true or false
    timestamps                                                microseconds since 1970, in decimal
    date                                                      days since 1970, in decimal
    real, double precision                                    the bits of IEEE 754 as an integer
    arrays                                                    their elements, written as values are

Each row's SHA-256 is taken as a number, the numbers are added modulo 2^256, and the sum is written
in 64 hexadecimal digits behind the number of rows and a colon.
"""

from __future__ import annotations

import hashlib
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_ROWS_AT_ONCE = 4000


class RowDigest:
    """Adds up rows, batch by batch."""

    def __init__(self) -> None:
        self.rows = 0
        self.sum = 0

    def add(self, batch: Any) -> None:
        """Add the rows of a pyarrow.RecordBatch; its columns are in the manifest's order."""
        if batch.num_rows == 0:
            return
        pieces = [piece for column in batch.columns for piece in _pieces(column)]
        rows = pc.binary_join_element_wise(*pieces, _bytes(b""), null_handling="skip")
        _, offsets, data = (memoryview(buffer or b"") for buffer in rows.buffers())
        ends = offsets.cast("q")[: batch.num_rows + 1].tolist()
        sha256, number = hashlib.sha256, int.from_bytes
        self.sum += sum(number(sha256(data[a:b]).digest(), "big") for a, b in pairwise(ends))
        self.sum %= 1 << 256
        self.rows += batch.num_rows

    def __str__(self) -> str:
        return f"{self.rows}:{self.sum:064x}"


def _written(column: Any) -> Any:
    """Each value with its length in front; a dash for NULL."""
    return pc.binary_join_element_wise(*_pieces(column), _bytes(b""), null_handling="skip")


def _pieces(column: Any) -> list[Any]:
    """What makes each value with its length, or its dash, when it is joined without its NULLs."""
    values = _bytes_of(column)
    lengths = pc.cast(pc.binary_length(values), pa.string())
    if not values.null_count:
        return [pc.cast(lengths, pa.large_binary()), _bytes(b":"), values]
    # The values themselves, which are large, are copied once: into their row.
    fronts = pc.binary_join_element_wise(lengths, ":", "").fill_null("-")
    return [pc.cast(fronts, pa.large_binary()), values]


def _bytes(value: bytes) -> Any:
    return pa.scalar(value, pa.large_binary())


def _bytes_of(column: Any) -> Any:
    """The bytes of each value, as large_binary; NULL stays NULL."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _bytes_of(column.dictionary_decode())
    if pa.types.is_nested(kind):
        return _bytes_of_lists(column)
    if pa.types.is_timestamp(kind) and kind.unit != "us":
        column = pc.cast(column, pa.timestamp("us", kind.tz))
    if pa.types.is_timestamp(kind) or pa.types.is_float64(kind):
        column = column.view(pa.int64())
    elif pa.types.is_date32(kind) or pa.types.is_float32(kind):
        column = column.view(pa.int32())
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.string())
    if pa.types.is_fixed_size_binary(column.type):
        column = pc.cast(column, pa.binary())
    return pc.cast(column, pa.large_binary())


def _bytes_of_lists(column: Any) -> Any:
    """Each list as its elements, one after the other."""
    # Offsets that begin at 0, and no values below a NULL.
    elements = _written(column.flatten())
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    ends = pc.cumulative_sum(pc.cast(lengths, pa.int64()))
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
    joined = pc.binary_join(
        pa.LargeListArray.from_arrays(offsets, elements), pa.scalar(b"", pa.large_binary())
    )
    return pc.if_else(pc.is_null(column), pa.scalar(None, pa.large_binary()), joined)


def verify(manifest: dict[str, Any], folder: Path) -> tuple[list[str], list[str]]:
    """What is not as it was proven, and what could not be looked at, in words."""
    wrong: list[str] = []
    unknown: list[str] = []
    for name, table in manifest["tables"].items():
        if table.get("sha256") is None:
            unknown.append(f"{name}: its manifest has no sha256, an earlier version wrote it")
            continue
        columns = [c["name"] for c in table["columns"] if c.get("generated") is None]
        found = RowDigest()
        parts = [item for item in manifest["objects"] if item["table"] == name]
        for item in parts:
            path = folder / item["key"]
            try:
                problem = _other_file(path, item)
                if problem is None:
                    _add_file(found, path, columns)
                else:
                    wrong.append(f"{item['key']}: {problem}")
            except OSError as error:
                unknown.append(f"{item['key']}: {error}")
            except (pa.ArrowException, KeyError) as error:
                wrong.append(f"{item['key']}: {error}")
        mentioned = {line.partition(": ")[0] for line in (*wrong, *unknown)}
        if not mentioned & {item["key"] for item in parts} and str(found) != table["sha256"]:
            wrong.append(f"{name}: its rows are {found}, proven were {table['sha256']}")
    return wrong, unknown


def _add_file(found: RowDigest, path: Path, columns: list[str]) -> None:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
            found.add(batch.select(columns))


def _other_file(path: Path, item: dict[str, Any]) -> str | None:
    """How a file differs from what the manifest says; None when it does not."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    if path.stat().st_size != item["bytes"]:
        return f"it has {path.stat().st_size} bytes, {item['bytes']} were proven"
    if digest.hexdigest() != item["sha256"]:
        return f"its SHA-256 is {digest.hexdigest()}, {item['sha256']} was proven"
    return None


def main(arguments: list[str]) -> int:
    """The command: prints what it found, and returns the exit status."""
    if len(arguments) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    manifest = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    wrong, unknown = verify(manifest, Path(arguments[1]))
    lines = [*(f"wrong: {line}" for line in wrong), *(f"not looked at: {line}" for line in unknown)]
    name = f"{manifest['month']} generation {manifest['generation']}"
    sys.stdout.write("\n".join(lines or [f"{name} is what was proven"]) + "\n")
    return 1 if wrong else 2 if unknown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
