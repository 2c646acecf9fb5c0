"""Rows as lines of text, each with its checksum: what a store could not keep, and what people hand to each other.

A line is the checksum, a blank and the row as a list of JSON. A line that was cut or changed does not fit its checksum.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, NamedTuple, cast

SUM_BYTES = 16


class Row(NamedTuple):
    """A row of the store, and where it came from."""

    key: str
    value: str
    model: str = ""
    """The identity of the model that made the value; empty where none did, or nobody knows."""
    stage: str = ""
    """The stage or command that asked first."""
    day: int = 0
    """The day on which it was kept, counted from 1 January 1970; 0 where nobody knows."""


def checksum(*parts: bytes) -> bytes:
    """BLAKE2b of the parts, of 16 bytes."""
    return blake2b(b"\0".join(parts), digest_size=SUM_BYTES).digest()


def written(row: Row) -> bytes:
    """The line of a row."""
    content = json.dumps(row, ensure_ascii=False).encode()
    return checksum(content).hex().encode() + b" " + content + b"\n"


def read(path: Path) -> Iterator[Row | None]:
    """The rows of a file, compressed by gzip where its name ends in ``.gz``; ``None`` for a line that does not fit.

    A compressed file that was cut or changed ends with one ``None``.

    Raises:
        OSError: when the file cannot be read.
    """
    with opened(path, "rb", path.suffix == ".gz") as file:
        try:
            for line in file:
                yield _row(line)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            yield None


def opened(path: Path, mode: str, compressed: bool) -> IO[bytes]:
    """A file for lines; compressed, the same rows give the same bytes."""
    # Without the file's name and time, which gzip would write into it.
    return cast(IO[bytes], gzip.GzipFile("", mode, fileobj=path.open(mode), mtime=0) if compressed else path.open(mode))


def _row(line: bytes) -> Row | None:
    told, _, content = line.removesuffix(b"\n").partition(b" ")
    return Row(*json.loads(content)) if told == checksum(content).hex().encode() else None
