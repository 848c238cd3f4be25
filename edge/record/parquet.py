"""Readings as Parquet, and Parquet as the rows of a table; the only module that imports PyArrow (the extra `record`).

A Parquet file is readable only when its last byte is written. So readings are recorded as CSV, which survives a power cut, and an hour that is over
becomes Parquet.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from edge.errors import ConfigError

SUFFIX = ".parquet"
BATCH_ROWS = 16_384
_CHUNK_BYTES = 4_000_000  # of CSV, which become one row group
_SOURCE = b"recorded_csv_sha256"  # of the CSV file that a Parquet file was made of


def obstacle() -> str | None:
    """Why Parquet can be neither written nor read here; None: it can."""
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 - an extra: only its presence matters here
    except ImportError:
        return "Parquet needs PyArrow: pip install 'plantflag[record]'"
    return None


def of_csv(source: Path) -> Path:
    """Put a file of readings in another one beside it as Parquet, and remove it; the end of a torn file is left out.

    Times become UTC in microseconds, values float64 (null: refused), sensor and quality dictionaries. The file appears whole or not at all. Where a power
    cut came between its appearing and the removal of the CSV, only the latter is done again.

    Args:
        source: ``readings-*.csv.gz`` as `edge.record.readings` writes it.

    Raises:
        OSError: the disk refuses.
        ConfigError: PyArrow is not installed.
    """
    _refuse_without()
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    with source.open("rb") as file:
        told = hashlib.file_digest(file, "sha256").hexdigest().encode()
    stem = source.name.removesuffix(".csv.gz")
    there = sorted(source.parent.glob(f"{stem}*{SUFFIX}"))
    made = next((path for path in there if (pq.read_schema(path).metadata or {}).get(_SOURCE) == told), None)
    if made is None:
        made = source.with_name(f"{stem}{f'_{len(there) + 1}' if there else ''}{SUFFIX}")
        part = made.with_suffix(".part")
        schema = _schema(pa).with_metadata({_SOURCE: told})
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for chunk in _whole_lines(source):
                writer.write_table(_table(chunk, schema))
        os.replace(part, made)  # noqa: PTH105 - Path.replace is the same, os.replace says that it is atomic
    source.unlink()
    return made


def rows(path: Path) -> Generator[list[str]]:
    """A Parquet file as the lines of a table, its head first: times in RFC 3339, numbers as exact as they are, nothing where there is none.

    Raises:
        ConfigError: PyArrow is not installed, the file is no Parquet, or a column holds lists or records.
    """
    _refuse_without()
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            nested = [field.name for field in schema if pa.types.is_nested(field.type)]
            if nested:
                raise ConfigError(f"{path.name}: column {nested[0]!r} holds lists or records: write one value a row")
            yield list(schema.names)
            for batch in file.iter_batches(BATCH_ROWS):
                columns = [_texts(pa, column) for column in batch.columns]
                yield from (list(row) for row in zip(*columns, strict=True))
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path.name} is no Parquet file, or it is damaged: {str(error)[:160]}") from error


def _refuse_without() -> None:
    if (why := obstacle()) is not None:
        raise ConfigError(why)


def _schema(pa: Any) -> Any:  # noqa: ANN401 - PyArrow is not always installed, so its types are not known
    moment, word = pa.timestamp("us", tz="UTC"), pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [("time", moment), ("received", moment), ("sensor", word), ("value", pa.float64()), ("quality", word)]
    )


def _table(lines: bytes, schema: Any) -> Any:  # noqa: ANN401 - as above
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import csv  # noqa: PLC0415

    kinds = {field.name: pa.string() if pa.types.is_dictionary(field.type) else field.type for field in schema}
    found = csv.read_csv(
        pa.py_buffer(lines),
        read_options=csv.ReadOptions(column_names=schema.names, use_threads=False),
        convert_options=csv.ConvertOptions(column_types=kinds, null_values=[""], strings_can_be_null=False),
    )
    return found.cast(schema)


def _whole_lines(source: Path) -> Iterator[bytes]:
    """The lines below the head, in pieces; the last line is left out where the file is torn inside it."""
    rest, head = b"", True
    with gzip.open(source, "rb") as file:
        torn = False
        while not torn:
            try:
                block = file.read1(_CHUNK_BYTES)
            except (EOFError, OSError, zlib.error):
                block, torn = b"", True
            rest += block
            if head and b"\n" in rest:
                rest, head = rest[rest.index(b"\n") + 1 :], False
            if (len(rest) >= _CHUNK_BYTES or not block) and (end := rest.rfind(b"\n") + 1) > 0 and not head:
                yield rest[:end]
                rest = rest[end:]
            if not block:
                return


def _texts(pa: Any, column: Any) -> Sequence[str]:  # noqa: ANN401 - as above
    if pa.types.is_timestamp(column.type):  # Python's times end at the microsecond
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
        return ["" if value is None else value.isoformat() for value in column.to_pylist()]
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return ["" if value is None else str(value) for value in column.to_pylist()]
