"""Preference pairs that others published: NASK-PIB/RefusEU, or any set in its schema.

A set has the splits ``train`` and ``test`` with the columns ``chosen`` and ``rejected`` (lists of chat turns, each with its
``role`` and ``content``: the user's question, then the assistant's answer), ``lang``, ``row_id``, which names a question in all
its languages, and ``category``. A column ``style`` is read where there is one; others are passed over. The schema is the data
card's of the published set; stage ``release`` writes it too.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from refuseu.core.errors import UserError
from refuseu.experiment import LANGUAGES
from refuseu.sources.external import ExternalRow, read_external
from refuseu.sources.settings import Published, Source
from refuseu.store.revisions import hub_commit
from refuseu.store.rows import Store
from refuseu.text.normal import plain

SIDES = ("train", "test")
"""The splits of a set."""
ENDINGS = (".parquet", ".jsonl")
"""Of the files of a set on this machine; CSV holds no lists."""
ROLES = ["user", "assistant"]
"""Of the turns of an answer."""


@dataclass(frozen=True)
class PublishedPair:
    """A question in one language with its two answers; texts are as they were published."""

    row_id: str
    """Names the question in all its languages."""
    lang: str
    side: str
    """The split that it stands in, one of ``SIDES``."""
    category: str
    """As the set spells it."""
    style: str
    """As the set spells it; empty where it tells none."""
    question: str
    chosen: str
    rejected: str
    place: str
    """Where it stands, for error texts."""


class SplitOfSet(Source):
    """One split of a published set."""

    called: ClassVar[str] = "published set"


class PublishedSet:
    """A set, which is read when the first of its pairs is asked for."""

    def __init__(self, settings: Published, folder: Path, languages: Sequence[str], store: Store) -> None:
        """Sets on this machine lie in ``folder``; pairs in other ``languages`` are left out."""
        self._settings = settings
        self._folder = folder
        self._languages = languages
        self._store = store

    @property
    def name(self) -> str:
        """The set, of the hub's with its commit."""
        source = self._settings.source
        return f"{source}@{self._commit}" if self._on_hub else source

    @cached_property
    def pairs(self) -> list[PublishedPair]:
        """All pairs in the run's languages, in the order of the set: train, then test.

        Raises:
            UserError: for a set that cannot be read, a missing column, turns of other roles, an unknown language, a question that
                differs between its two answers or stands on both sides, a row that stands twice, or a language without a row.
        """
        known = [pair for side in SIDES for pair in self._side(side)]
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
        """The pairs by row and language."""
        return {(pair.row_id, pair.lang): pair for pair in self.pairs}

    @property
    def assignment(self) -> dict[str, str]:
        """The side of each row."""
        return {pair.row_id: pair.side for pair in self.pairs}

    @property
    def _on_hub(self) -> bool:
        return "/" in self._settings.source

    @cached_property
    def _commit(self) -> str:
        return hub_commit(self._settings.source, self._settings.revision, self._store, "dataset")

    def _side(self, side: str) -> Iterator[PublishedPair]:
        return (_pair(row, side) for row in read_external(self._split(side), self._folder))

    def _split(self, side: str) -> SplitOfSet:
        source, config = self._settings.source, self._settings.config
        if self._on_hub:
            return SplitOfSet(source=source, revision=self._commit, config=config, split=side)
        files = [f"{source}/{config}/{side}{ending}" for ending in ENDINGS]
        found = [file for file in files if (self._folder / file).is_file()]
        if not found:
            raise UserError(
                f"{self._folder / source / config}: holds neither {' nor '.join(side + ending for ending in ENDINGS)}; "
                "put the set there, or name another in the section published"
            )
        return SplitOfSet(source=found[0])


def _pair(row: ExternalRow, side: str) -> PublishedPair:
    lang = row.entry("lang")
    if lang not in LANGUAGES:
        raise UserError(f"{row.place}: column 'lang' holds no known language; write one of {', '.join(LANGUAGES)}")
    question, chosen = _turns(row, "chosen")
    again, rejected = _turns(row, "rejected")
    if question != again:
        raise UserError(f"{row.place}: chosen and rejected answer different questions; give both the same user's turn")
    return PublishedPair(
        row_id=_row_id(row),
        lang=lang,
        side=side,
        category=row.entry("category"),
        style=row.entry("style") if "style" in row.columns else "",
        question=question,
        chosen=chosen,
        rejected=rejected,
        place=row.place,
    )


def _row_id(row: ExternalRow) -> str:
    """Sets number their rows, or name them."""
    value = row.columns.get("row_id")
    found = str(value) if isinstance(value, int) else row.entry("row_id")
    if not found:
        raise UserError(f"{row.place}: column 'row_id' is empty; name the question there, alike in all its languages")
    return found


def _turns(row: ExternalRow, column: str) -> tuple[str, str]:
    """The question and the answer."""
    row.entry(column)  # that there is such a column
    turns = row.columns[column]
    if not _is_exchange(turns):
        raise UserError(
            f"{row.place}: column '{column}' must be a list of two turns, each with its role and content: the user's "
            "question and the assistant's answer"
        )
    question, answer = (turn["content"] for turn in turns)
    return question, answer


def _is_exchange(turns: Any) -> bool:
    return (
        isinstance(turns, list)
        and all(isinstance(turn, dict) for turn in turns)
        and [turn.get("role") for turn in turns] == ROLES
        and all(isinstance(turn.get("content"), str) and turn["content"].strip() for turn in turns)
    )


def _check_places(pairs: Iterable[PublishedPair]) -> None:
    """Each row once in each language, and no row or question on both sides."""
    rows: dict[tuple[str, str], PublishedPair] = {}
    sides: dict[tuple[str, str], PublishedPair] = {}
    for pair in pairs:
        twin = rows.setdefault((pair.row_id, pair.lang), pair)
        if twin is not pair and twin.side == pair.side:
            raise UserError(f"{pair.place}: has the row_id and the language of {twin.place}; keep one of the two")
        for name in (("row_id", pair.row_id), (pair.lang, plain(pair.question))):
            other = sides.setdefault(name, pair)
            if other.side != pair.side:
                what = "row_id" if name[0] == "row_id" else "question"
                raise UserError(
                    f"{pair.place}: its {what} stands in {other.side} too ({other.place}); keep it on one side"
                )
