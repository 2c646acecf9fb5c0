"""Reads the records of a damaged SQLite file page by page, without the tree that leads to them.

SQLite itself gives up a whole table when one page that leads to others is damaged. The format is that of
https://www.sqlite.org/fileformat2.html; of it only what the row store writes is read: text, bytes and whole numbers.
"""

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

SIZE = 4096
"""Bytes of a page."""
LEAF, KEYED_LEAF, KEYED_NODE = 0x0D, 0x0A, 0x02
"""First byte of a page with records: of a table, and of a table without row ids, whose inner pages hold records too."""
FILE_HEADER, FRAME_HEADER, LOG_HEADER = 100, 24, 32
"""Bytes before the first page's content, before each page of the log, and before the log's first page."""
DEEPEST = 2**18
"""Pages that one record may take; a damaged chain of pages may have no end."""
Value = str | bytes | int | None
Record = tuple[Value, ...]


def records(path: Path) -> Iterator[Record]:
    """Every record that can be read in the file and in the log beside it (``-wal``), also those of pages that were given up.

    A record may come several times, and one that is damaged may come too.
    """
    file, log = _mapped(path), _mapped(path.with_name(f"{path.name}-wal"))
    frames = range(LOG_HEADER, len(log) - SIZE, FRAME_HEADER + SIZE)
    newer = {int.from_bytes(log[frame : frame + 4]): frame + FRAME_HEADER for frame in frames}

    def page(number: int) -> bytes:
        content, start = (log, newer[number]) if number in newer else (file, (number - 1) * SIZE)
        return content[start : start + SIZE]

    for start in range(0, len(file), SIZE):
        yield from _of_page(file[start : start + SIZE], page, 0 if start else FILE_HEADER)
    for frame in frames:
        yield from _of_page(log[frame + FRAME_HEADER : frame + FRAME_HEADER + SIZE], page, 0)


def _mapped(path: Path) -> mmap.mmap | bytes:
    """The bytes of a file, which may be larger than the memory; none where there is no file."""
    if not path.is_file() or not path.stat().st_size:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _of_page(content: bytes, page: Callable[[int], bytes], header: int) -> Iterator[Record]:
    if len(content) < SIZE or content[header] not in (LEAF, KEYED_LEAF, KEYED_NODE):
        return
    kind, count = content[header], int.from_bytes(content[header + 3 : header + 5])
    first = header + (12 if kind == KEYED_NODE else 8)
    for place in range(first, min(first + 2 * count, SIZE - 1), 2):
        try:
            start = int.from_bytes(content[place : place + 2])
            yield _record(_payload(content, start, kind, page))
        except (IndexError, ValueError):  # a place outside the page, text that is none: this record is damaged
            continue


def _payload(content: bytes, at: int, kind: int, page: Callable[[int], bytes]) -> bytes:
    """The bytes of the record that begins at a place of a page, with those on the pages that it goes on to."""
    if kind == KEYED_NODE:
        at += 4  # the page to the left of it
    size, at = _number(content, at)
    if kind == LEAF:
        _, at = _number(content, at)  # the row id
    most = SIZE - 35 if kind == LEAF else (SIZE - 12) * 64 // 255 - 23
    if size <= most:
        return content[at : at + size]
    least = (SIZE - 12) * 32 // 255 - 23
    here = least + (size - least) % (SIZE - 4)
    here = here if here <= most else least
    parts, left = [content[at : at + here]], size - here
    follows = int.from_bytes(content[at + here : at + here + 4])
    for _ in range(DEEPEST):
        if left <= 0 or not follows:
            break
        other = page(follows)
        parts.append(other[4 : 4 + left])
        left -= SIZE - 4
        follows = int.from_bytes(other[:4])
    return b"".join(parts)


def _record(payload: bytes) -> Record:
    end, at = _number(payload, 0)
    kinds = []
    while at < end:
        kind, at = _number(payload, at)
        kinds.append(kind)
    values: list[Value] = []
    for kind in kinds:
        size = (kind - 12) // 2 if kind >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind]
        part = payload[at : at + size]
        if len(part) < size:
            raise ValueError("the record was cut")
        at += size
        if kind >= 12:
            values.append(part.decode() if kind % 2 else part)
        else:
            values.append({0: None, 8: 0, 9: 1}.get(kind, int.from_bytes(part, signed=True)))
    return tuple(values)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, seven bits a byte but the last, and the place after it."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9
