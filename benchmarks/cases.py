"""One measured case: ``python benchmarks/cases.py NAME ROWS`` prints its CPU seconds and peak memory (MB) as JSON.

A process a case, or the peak would be that of the greatest case so far.
"""

import json
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from texts import pairs, questions

from refuseu.deduplication import Comparison, shingles, similar_pairs
from refuseu.splitting import complete_slots, contamination, glue, mix, parts_of
from refuseu.store import Store

FOLDER = Path(".cache/bench")
LANGUAGES = ["en", "de", "fr", "it", "es", "pt", "pl", "cs", "sk", "sl", "lt", "lv"]
THRESHOLD = 0.8
ASKED = 100_000
"""Keys that the row store is asked for at once."""
TEST = 1_400
"""Questions of the later part that the greatest similarity is looked for with."""

Case = Callable[[], Any]


def near_by_product(count: int) -> Case:
    """All pairs at once, by one sparse product: what the filters are compared with."""
    from sklearn.feature_extraction.text import CountVectorizer

    texts = list(questions(count))

    def work() -> int:
        matrix = CountVectorizer(analyzer=shingles, binary=True).fit_transform(texts)
        shared = (matrix @ matrix.T).tocoo()
        sizes = matrix.sum(axis=1).A1
        return int((shared.data / (sizes[shared.row] + sizes[shared.col] - shared.data) >= THRESHOLD).sum())

    return work


def near_by_filters(count: int) -> Case:
    texts = list(questions(count))
    return lambda: len(similar_pairs(texts, texts, THRESHOLD))


def highest(count: int) -> Case:
    texts = list(questions(count + TEST))
    return lambda: Comparison(texts[:count], texts[count:]).highest()


def fill(count: int) -> Case:
    """A row store of so many rows, written at once; rows of 400 characters."""

    def work() -> None:
        path = _store(count)
        path.unlink(missing_ok=True)
        Store(path)
        with sqlite3.connect(path) as connection:
            # Nobody reads meanwhile, and a store that broke off is made anew.
            connection.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000")
            rows = ((_key(number), "word " * 80) for number in range(count))
            connection.executemany("INSERT INTO rows VALUES (?, ?)", rows)

    return work


def find_one_by_one(count: int) -> Case:
    """A SELECT a key: what the one statement is compared with."""
    keys = _asked(count)

    def work() -> int:
        connection = sqlite3.connect(_store(count))
        found = (connection.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone() for key in keys)
        return len([row for row in found if row])

    return work


def find_at_once(count: int) -> Case:
    keys = _asked(count)
    return lambda: len(Store(_store(count)).complete(keys, _none_missing))


def split(rows: int) -> Case:
    """From labelled pairs to parts, contamination and a mix; each hundredth slot goes to test."""
    table = pairs(rows // len(LANGUAGES), LANGUAGES)

    def work() -> dict[str, Any]:
        whole = complete_slots(table, LANGUAGES)
        slots = glue(whole, THRESHOLD)
        part = {
            slot_id: "train" if number % 100 else "test"
            for number, slot in enumerate(slots)
            for slot_id in slot.slot_ids
        }
        parts = parts_of(whole, part)
        mix(parts["train"], LANGUAGES, 0.2, 0)
        return contamination(parts["train"], parts["test"], THRESHOLD)

    return work


CASES = {
    case.__name__: case
    for case in (near_by_product, near_by_filters, highest, fill, find_one_by_one, find_at_once, split)
}


def _store(count: int) -> Path:
    return FOLDER / f"rows-{count}.sqlite"


def _key(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


def _asked(count: int) -> list[str]:
    return [_key(number) for number in Random(0).sample(range(count), min(ASKED, count))]


def _none_missing(missing: list[int]) -> Iterator[tuple[int, str]]:
    raise AssertionError(f"{len(missing)} rows are not in the store")


def main(name: str, rows: int) -> None:
    work = CASES[name](rows)
    start = time.process_time()
    work()
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"case": name, "rows": rows, "seconds": round(seconds, 2), "megabytes": round(peak)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
