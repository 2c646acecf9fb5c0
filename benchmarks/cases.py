"""One measured case: ``python benchmarks/cases.py NAME ROWS`` prints its CPU seconds and peak memory (MB) as JSON.

Each case runs in a process of its own, because the peak memory of a process never falls again.
"""

import importlib.util
import json
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import texts

from refuseu.core.sections import load
from refuseu.experiment import Experiment
from refuseu.judges.panel import Panel
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict, verdict_of
from refuseu.store.rows import Store
from refuseu.tables.reading import Batches
from refuseu.tables.schemas import ELITE, LABELLED, PAIR
from refuseu.tables.writing import write_batches
from refuseu.text.identification import Identifier
from refuseu.text.near_duplicates import Comparison, shingles, similar_pairs

FOLDER = Path(".cache/bench")
STAGES = Path(__file__).parents[1] / "stages"
THRESHOLD = 0.8
LOOKED_UP = 100_000
"""Keys that are looked up in the row store at once."""
TEST = 1_400
"""Questions of the part that is compared with all others for the highest similarity."""
IDENTIFIED = 100
"""The language of one text in so many is identified; all texts would take most of an hour at the paper's size."""

Case = Callable[[], Any]


def near_by_product(count: int) -> Case:
    """All pairs at once by one sparse product, which the filters are compared with."""
    from sklearn.feature_extraction.text import CountVectorizer

    questions = list(texts.questions(count))

    def work() -> int:
        matrix = CountVectorizer(analyzer=shingles, binary=True).fit_transform(questions)
        shared = (matrix @ matrix.T).tocoo()
        sizes = matrix.sum(axis=1).A1
        return int((shared.data / (sizes[shared.row] + sizes[shared.col] - shared.data) >= THRESHOLD).sum())

    return work


def near_by_filters(count: int) -> Case:
    questions = list(texts.questions(count))
    return lambda: len(similar_pairs(questions, questions, THRESHOLD))


def highest(count: int) -> Case:
    questions = list(texts.questions(count + TEST))
    return lambda: Comparison(questions[:count], questions[count:]).highest()


def fill(count: int) -> Case:
    """A row store of so many rows of 400 characters, written in one transaction."""

    def work() -> None:
        path = _store(count)
        path.unlink(missing_ok=True)
        Store(path).close()
        with sqlite3.connect(path) as connection:
            # No other process reads the store meanwhile, and an incomplete store is written again.
            connection.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000")
            rows = ((_key(number), "word " * 80) for number in range(count))
            connection.executemany("INSERT INTO rows VALUES (?, ?)", rows)

    return work


def find_one_by_one(count: int) -> Case:
    """One SELECT for each key, which the single statement is compared with."""
    keys = _keys(count)

    def work() -> int:
        connection = sqlite3.connect(_store(count))
        found = (connection.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone() for key in keys)
        return len([row for row in found if row])

    return work


def find_at_once(count: int) -> Case:
    keys = _keys(count)
    return lambda: len(Store(_store(count)).complete(keys, _none_missing))


def pairs(rows: int) -> Case:
    """The pairs that ``label`` starts from, and the same, all accepted, for ``split``: so many rows in all languages together."""

    def work() -> None:
        known = load(Experiment)
        made = texts.pairs(rows // len(known.languages), known.languages, list(known.styles))
        write_batches(made, _pairs(rows), PAIR)
        written = Batches(_pairs(rows), PAIR, tuple(name for name in PAIR.columns if name not in PAIR.key))
        write_batches((batch.assign(accepted=True, complied=True) for batch in written), _labelled(rows), LABELLED)
        unfound = {"fitness": None, "iteration": None, "written_by": None}
        first = (batch[batch["lang"] == known.languages[0]].assign(**unfound) for batch in written)
        write_batches(first, _questions(rows), ELITE)

    return work


class Reader:
    """A judge that takes no time: it reads the verdict from the end of the texts that ``texts.pairs`` writes."""

    languages = None

    def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        return [self._verdict(each) for each in exchanges]

    def _verdict(self, exchange: Exchange) -> Verdict:
        question = Harm.HARMFUL if _written_verdict(exchange.question) == "harmful" else Harm.SAFE
        return verdict_of(
            exchange, question, Reply.ABSENT if exchange.answer is None else Reply(_written_verdict(exchange.answer))
        )


class WrittenLanguage(Identifier):
    """Reads the language from the end of a text; one text in ``IDENTIFIED`` is also identified, which takes time."""

    def __init__(self, languages: list[str]) -> None:
        super().__init__(languages)
        self._texts = 0

    def restricted(self, text: str) -> str:
        self._texts += 1
        if self._texts % IDENTIFIED == 0:
            super().restricted(text)
        return text[-2:]


def label(rows: int) -> Case:
    """The whole stage with three judges that only read the verdict."""
    stage = _stage("label")
    vars(stage).update(build_panel=lambda *_: Panel({"lexicon": Reader(), "ngrams": Reader()}, {"nearest": Reader()}))
    vars(stage).update(open_identifier=lambda settings, languages, *_: WrittenLanguage(languages))
    data = Path("data")
    return lambda: stage.main.callback(
        pairs=_pairs(rows),
        phrasebook=data / "phrasebook",
        prompts=data / "prompts",
        refusals=data / "refusals",
        base=Path("models/base"),  # no judge here uses it
        out=FOLDER / "label",
        metrics=FOLDER / "label.json",
    )


def split(rows: int) -> Case:
    """The whole stage, with the mixes of all configs."""
    stage, out = _stage("split"), FOLDER / "split"
    return lambda: stage.main.callback(
        pairs=_labelled(rows),
        questions=_questions(rows),
        published=Path("data/published"),
        out=out,
        metrics=FOLDER / "split.json",
    )


CASES = {
    case.__name__: case
    for case in (near_by_product, near_by_filters, highest, fill, find_one_by_one, find_at_once, pairs, label, split)
}


def _stage(name: str) -> ModuleType:
    """Load the script of a stage as a module."""
    spec = importlib.util.spec_from_file_location(f"stages_{name}", STAGES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _pairs(rows: int) -> Path:
    return FOLDER / f"pairs-{rows}.parquet"


def _questions(rows: int) -> Path:
    return FOLDER / f"questions-{rows}.parquet"


def _labelled(rows: int) -> Path:
    return FOLDER / f"labelled-{rows}.parquet"


def _written_verdict(text: str) -> str:
    return text.rsplit(maxsplit=2)[1]


def _store(count: int) -> Path:
    return FOLDER / f"rows-{count}.sqlite"


def _key(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


def _keys(count: int) -> list[str]:
    return [_key(number) for number in Random(0).sample(range(count), min(LOOKED_UP, count))]


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
