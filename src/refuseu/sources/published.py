"""Published preference pairs: the dataset NASK-PIB/RefusEU, or any set in its schema.

A set has the splits ``train`` and ``test`` with these columns: ``chosen`` and ``rejected`` are lists of two chat turns (the
user's question and the assistant's answer, each with ``role`` and ``content``); ``lang`` is the language; ``row_id`` is the id of
the question in all languages; ``category`` is the hazard category. A column ``style`` is read where there is one, and all other
columns are ignored. The data card of the published set describes this schema; the stage ``release`` writes it too.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from refuseu.core.errors import UserError
from refuseu.experiment import LANGUAGES
from refuseu.sources.external import ExternalRow, read_external
from refuseu.sources.languages import language_code
from refuseu.sources.settings import Published, Source
from refuseu.store.revisions import hub_commit
from refuseu.store.rows import Store
from refuseu.text.normal import composed, plain

SPLITS = ("train", "test")
"""The splits of a set, in the order in which they are read."""
ENDINGS = (".parquet", ".jsonl")
"""Endings of the files of a set on this machine; CSV cannot hold lists."""
ROLES = ["user", "assistant"]
"""Roles of the two turns of an exchange."""


@dataclass(frozen=True)
class PublishedPair:
    """A question in one language with its two answers; the texts are as they were published."""

    row_id: str
    """Id of the question in all its languages."""
    lang: str
    split: str
    """The split that holds it, one of ``SPLITS``."""
    category: str
    """As the set writes it."""
    style: str
    """As the set writes it; empty where it gives none."""
    question: str
    chosen: str
    rejected: str
    place: str
    """Source and row number, for errors."""


class SplitOfSet(Source):
    """One split of a published set."""

    called: ClassVar[str] = "published set"


class PublishedSet:
    """A published set. It is read when its pairs are first used."""

    def __init__(self, settings: Published, folder: Path, languages: Sequence[str], store: Store) -> None:
        """``folder`` holds the sets on this machine. Pairs in languages other than ``languages`` are left out."""
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
        """All pairs in the experiment's languages, in the order of the set: train, then test.

        Raises:
            UserError: for a set that cannot be read, a missing column, turns with other roles, an unknown language, answers to
                different questions, a question in both splits, a row that stands twice, or a language without a row.
        """
        known = [pair for split in SPLITS for pair in self._pairs_of(split)]
        pairs = [pair for pair in known if pair.lang in self._languages]
        _check_places(pairs)
        lacking = [lang for lang in self._languages if lang not in {pair.lang for pair in pairs}]
        if lacking:
            raise UserError(
                f"{self.name}: has no row in {', '.join(lacking)}; take that out of languages in params.yaml"
            )
        return pairs

    @cached_property
    def by_row(self) -> dict[tuple[str, str], PublishedPair]:
        """The pairs by ``row_id`` and language."""
        return {(pair.row_id, pair.lang): pair for pair in self.pairs}

    @property
    def assignment(self) -> dict[str, str]:
        """The split of each ``row_id``."""
        return {pair.row_id: pair.split for pair in self.pairs}

    @property
    def _on_hub(self) -> bool:
        return "/" in self._settings.source

    @cached_property
    def _commit(self) -> str:
        return hub_commit(self._settings.source, self._settings.revision, self._store, "dataset")

    def _pairs_of(self, split: str) -> Iterator[PublishedPair]:
        return (_pair(row, split) for row in read_external(self._source_of(split), self._folder))

    def _source_of(self, split: str) -> SplitOfSet:
        source, config = self._settings.source, self._settings.config
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


def _pair(row: ExternalRow, split: str) -> PublishedPair:
    lang = language_code(row.entry("lang"))
    if lang is None:
        raise UserError(f"{row.place}: column 'lang' holds no known language; write one of {', '.join(LANGUAGES)}")
    question, chosen = _turns(row, "chosen")
    again, rejected = _turns(row, "rejected")
    if composed(question) != composed(again):
        raise UserError(f"{row.place}: chosen and rejected answer different questions; give both the same user's turn")
    return PublishedPair(
        row_id=_row_id(row),
        lang=lang,
        split=split,
        category=row.entry("category"),
        style=row.entry("style") if row.has("style") else "",
        question=question,
        chosen=chosen,
        rejected=rejected,
        place=row.place,
    )


def _row_id(row: ExternalRow) -> str:
    """Return the id of the row, which is a number in some sets and a text in others."""
    value = row.value("row_id")
    found = str(value) if isinstance(value, int) else composed(row.entry("row_id"))
    if not found:
        raise UserError(f"{row.place}: column 'row_id' is empty; name the question there, alike in all its languages")
    return found


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


def _check_places(pairs: Iterable[PublishedPair]) -> None:
    """Check that each row stands once in each language, and that no row or question is in both splits."""
    rows: dict[tuple[str, str], PublishedPair] = {}
    splits: dict[tuple[str, str], PublishedPair] = {}
    for pair in pairs:
        twin = rows.setdefault((pair.row_id, pair.lang), pair)
        if twin is not pair and twin.split == pair.split:
            raise UserError(f"{pair.place}: has the row_id and the language of {twin.place}; keep one of the two")
        for name in (("row_id", pair.row_id), (pair.lang, plain(pair.question))):
            other = splits.setdefault(name, pair)
            if other.split != pair.split:
                what = "row_id" if name[0] == "row_id" else "question"
                raise UserError(
                    f"{pair.place}: its {what} is in {other.split} too ({other.place}); keep it in one split"
                )
