"""A published set: NASK-PIB/RefusEU, or any set in its schema.

The set has a config ``lang_<xx>`` a language, with preference pairs in the splits ``train`` and ``test``. The columns of a row:
``chosen`` and ``rejected`` are lists of two chat turns (the user's question and the assistant's answer, each with ``role`` and
``content``); ``lang`` is the language; ``row_id`` and ``category`` name the slot that the question was written for. The config
``evaluation`` (split ``eval``) holds the test questions of all languages, with the columns ``row_id``, ``lang`` and ``prompt``.
In the pairs a column ``style`` is read where there is one; all other columns are ignored. The data card of NASK-PIB/RefusEU
describes this schema; the stage ``release`` writes it too.

A slot is a place in the order of the rows, and holds one question a language. The questions of a slot are no translations of each
other: each was written in its own language. A ``row_id`` may occur several times, so a slot is named by its part, its ``row_id``
and the number of the occurrence, and all languages must list the same slots in the same order.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

from refuseu.core.errors import UserError
from refuseu.sources.external import ExternalRow, read_external
from refuseu.sources.languages import language_code
from refuseu.sources.settings import Published, Source
from refuseu.store.revisions import hub_commit
from refuseu.store.rows import Store
from refuseu.text.normal import composed

PAIRS = {"train": "train", "test": "dev"}
"""Splits of the configs ``lang_<xx>``, and the part that each of them is. The split ``test`` is 141 of the 2,889 rows that the
paper trains on; the paper's test is the config ``evaluation``."""
EVALUATION = ("evaluation", "eval")
"""Config and split of the test questions."""
ENDINGS = (".parquet", ".jsonl")
"""Endings of the files of a set on this machine; CSV cannot hold lists."""
ROLES = ["user", "assistant"]
"""Roles of the two turns of an exchange."""


@dataclass(frozen=True)
class PublishedQuestion:
    """A question as it was published."""

    question_id: str
    """Names the slot, in all languages: part, ``row_id``, and the number of the occurrence from the second one on."""
    lang: str
    part: str
    """``train``, ``dev`` or ``test``."""
    text: str
    place: str
    """Source and row number, for errors."""


@dataclass(frozen=True)
class PublishedPair(PublishedQuestion):
    """A question with its slot's category and its two answers, as they were published."""

    category: str
    """As the set writes it."""
    style: str
    """As the set writes it; empty where it gives none."""
    chosen: str
    rejected: str


class SplitOfSet(Source):
    """One split of a published set."""

    called: ClassVar[str] = "published set"


class PublishedSet:
    """A published set. Its pairs and its test questions are read when they are first used."""

    def __init__(self, settings: Published, folder: Path, languages: Sequence[str], store: Store) -> None:
        """``folder`` holds the sets on this machine. Questions in languages other than ``languages`` are left out."""
        self._settings = settings
        self._folder = folder
        self._languages = languages
        self._store = store

    @property
    def name(self) -> str:
        """The name of the set; with its commit where it is a dataset of the hub."""
        source = self._settings.source
        return f"{source}@{self._commit}" if self._on_hub else source

    @cached_property
    def pairs(self) -> list[PublishedPair]:
        """All pairs, by language, each in the order of the set: train, then dev.

        Raises:
            UserError: for a set that cannot be read, a missing column, turns with other roles, a row in another language than its
                config's, answers to different questions, and languages with other slots.
        """
        by_language = {
            lang: [pair for split in PAIRS for pair in self._pairs_of(lang, split)] for lang in self._languages
        }
        self._check_slots(by_language)
        return [pair for pairs in by_language.values() for pair in pairs]

    @cached_property
    def test(self) -> list[PublishedQuestion]:
        """The test questions, by language, each in the order of the set.

        Raises:
            UserError: as ``pairs``, and for a language without a question.
        """
        config, split = EVALUATION
        rows: dict[str, list[ExternalRow]] = {lang: [] for lang in self._languages}
        for row in self._rows(config, split):
            rows.setdefault(language_code(row.entry("lang")) or "", []).append(row)
        by_language = {lang: [*_questions(rows[lang], lang)] for lang in self._languages}
        lacking = [lang for lang, questions in by_language.items() if not questions]
        if lacking:
            raise UserError(
                f"{self.name}: the config {config} has no row in {', '.join(lacking)}; "
                "take that out of languages in params.yaml"
            )
        self._check_slots(by_language)
        return [question for questions in by_language.values() for question in questions]

    @cached_property
    def by_slot(self) -> dict[tuple[str, str], PublishedPair]:
        """The pairs by ``question_id`` and language."""
        return {(pair.question_id, pair.lang): pair for pair in self.pairs}

    @property
    def part_of(self) -> dict[str, str]:
        """The part of each pair's slot, train or dev, by ``question_id``."""
        return {pair.question_id: pair.part for pair in self.pairs}

    @property
    def _on_hub(self) -> bool:
        return "/" in self._settings.source

    @cached_property
    def _commit(self) -> str:
        return hub_commit(self._settings.source, self._settings.revision, self._store, "dataset")

    def _pairs_of(self, lang: str, split: str) -> Iterator[PublishedPair]:
        rows = self._rows(f"lang_{lang}", split)
        for row, question_id in zip(rows, _slot_names(rows, PAIRS[split]), strict=True):
            yield _pair(row, question_id, lang, PAIRS[split])

    def _rows(self, config: str, split: str) -> list[ExternalRow]:
        return read_external(self._source_of(config, split), self._folder)

    def _source_of(self, config: str, split: str) -> SplitOfSet:
        source = self._settings.source
        if self._on_hub:
            return SplitOfSet(source=source, revision=self._commit, config=config, split=split)
        files = [f"{source}/{config}/{split}{ending}" for ending in ENDINGS]
        found = [file for file in files if (self._folder / file).is_file()]
        if not found:
            raise UserError(
                f"{self._folder / source / config}: holds neither {' nor '.join(split + ending for ending in ENDINGS)}; "
                "put the set there, or name another in the section published"
            )
        return SplitOfSet(source=found[0])

    def _check_slots(self, by_language: Mapping[str, Sequence[PublishedQuestion]]) -> None:
        """Check that the slots of all languages are those of the first one, in the same order."""
        first, *others = by_language.values()
        for questions in others:
            for ours, theirs in zip_longest(first, questions):
                if ours is None or theirs is None:
                    longer, lang = (theirs, first[0].lang) if ours is None else (ours, questions[0].lang)
                    raise UserError(f"{longer.place}: {lang} has no such row; {SAME_SLOTS}")
                if _slot(ours) != _slot(theirs):
                    raise UserError(
                        f"{theirs.place}: is another slot (row_id and category) than {ours.place}; {SAME_SLOTS}"
                    )


def _slot(question: PublishedQuestion) -> tuple[str, str]:
    return question.question_id, question.category if isinstance(question, PublishedPair) else ""


SAME_SLOTS = "all languages of a set must list the same slots in the same order"


def _slot_names(rows: Iterable[ExternalRow], part: str) -> Iterator[str]:
    """Name each row's slot; ``rows`` are those of one language and part."""
    occurrences: Counter[str] = Counter()
    for row in rows:
        row_id = _row_id(row)
        occurrences[row_id] += 1
        yield f"{part}-{row_id}" + (f"-{occurrences[row_id]}" if occurrences[row_id] > 1 else "")


def _row_id(row: ExternalRow) -> str:
    """Return the id of the row, which is a number in some sets and a text in others."""
    value = row.value("row_id")
    found = str(value) if isinstance(value, int) else composed(row.entry("row_id"))
    if not found:
        raise UserError(f"{row.place}: column 'row_id' is empty; name the slot there, alike in all languages")
    return found


def _questions(rows: Sequence[ExternalRow], lang: str) -> Iterator[PublishedQuestion]:
    for row, question_id in zip(rows, _slot_names(rows, "test"), strict=True):
        yield PublishedQuestion(question_id, lang, "test", row.question("prompt"), row.place)


def _pair(row: ExternalRow, question_id: str, lang: str, part: str) -> PublishedPair:
    if language_code(row.entry("lang")) != lang:
        raise UserError(f"{row.place}: column 'lang' does not hold {lang}, as the config says; move the row")
    text, chosen = _turns(row, "chosen")
    again, rejected = _turns(row, "rejected")
    if composed(text) != composed(again):
        raise UserError(f"{row.place}: chosen and rejected answer different questions; give both the same user's turn")
    category, style = row.entry("category"), row.entry("style") if row.has("style") else ""
    return PublishedPair(question_id, lang, part, text, row.place, category, style, chosen, rejected)


def _turns(row: ExternalRow, column: str) -> tuple[str, str]:
    """Return the question and the answer in a column."""
    turns = row.value(column)
    if not _is_exchange(turns):
        raise UserError(
            f"{row.place}: column '{column}' must be a list of two turns, each with its role and content: the user's "
            "question and the assistant's answer"
        )
    question, answer = (row.whole(column, turn["content"]) for turn in turns)
    return question, answer


def _is_exchange(turns: Any) -> bool:
    return (
        isinstance(turns, list)
        and all(isinstance(turn, dict) for turn in turns)
        and [turn.get("role") for turn in turns] == ROLES
        and all(isinstance(turn.get("content"), str) and turn["content"].strip() for turn in turns)
    )
