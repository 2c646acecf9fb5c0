"""Where external and published datasets are, and which of their columns are read."""

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, model_validator

from refuseu.core.sections import Section
from refuseu.experiment import Kind, LanguageCode


def _is_commit(revision: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError("must be a commit, 40 hexadecimal digits: a branch or a tag may hold other data tomorrow")
    return revision


Commit = Annotated[str, AfterValidator(_is_commit)]
"""A commit of a dataset of the hub. It is written in full, so that the parameters decide which data are read."""


class Source(Section):
    """A file (``.csv``, ``.tsv``, ``.txt``, ``.jsonl`` or ``.parquet``), or a dataset of the hub at a revision."""

    called: ClassVar[str]
    """What errors call it."""

    source: str
    """Name of a file in the folder of its kind, or of a dataset of the hub (``org/name``)."""
    revision: Commit | None = None
    """Commit of a dataset of the hub, 40 hexadecimal digits; a file has none."""
    config: str | None = None
    """Config of a dataset of the hub that has several."""
    split: str = "train"
    """Split of a dataset of the hub."""


class ExternalTable(Source):
    """An external dataset of questions, with or without categories: a seed set or a test set."""

    text: str
    """Column with the question."""
    category: str | None = None
    """Column with the key or the name of the hazard category, which may be empty."""


class PartOfSet(Section):
    """What one language has of its own in a set; what is not named is as in the set."""

    config: str | None = None
    split: str | None = None
    text: str | None = None
    """Column with the question."""


class ExternalSet(ExternalTable):
    """Questions of others that all models are asked beside our own, and their columns. No model is trained on them."""

    called: ClassVar[str] = "test set"

    lang: str | None = None
    """Column of the language, by its code (``de``) or its English name."""
    every_lang: LanguageCode | None = None
    """The language of all rows, where no column says it."""
    by_lang: dict[LanguageCode, PartOfSet] | None = None
    """The part of each language, where each has a config, a split or a column of its own."""
    kind: str | None = None
    """Column that says which questions are harmful and which are benign."""
    every_kind: Literal["harmful", "benign"] = Kind.HARMFUL.value
    """What all questions are, where no column says it."""

    @model_validator(mode="after")
    def _has_a_language(self) -> Self:
        if sum(each is not None for each in (self.lang, self.every_lang, self.by_lang)) != 1:
            raise ValueError(
                "must name one of lang, the column of the language, every_lang, the language of all rows, and by_lang, what each "
                "language has of its own"
            )
        return self

    def parts(self) -> dict[str, Self]:
        """The set, or its parts as sets of one language; the keys stand before the numbers of their rows."""
        if self.by_lang is None:
            return {"": self}
        return {
            f"{lang}-": self.model_copy(
                update={**part.model_dump(exclude_none=True), "every_lang": lang, "by_lang": None}
            )
            for lang, part in self.by_lang.items()
        }


class ByPublished(Section):
    """The published set plays the role."""

    kind: Literal["published"]


class Published(Section):
    """Where the published set is; it has the configs and columns of NASK-PIB/RefusEU."""

    source: str
    """A dataset of the hub (``org/name``), or a folder in ``data/published``."""
    revision: str | None = None
    """Commit of a dataset of the hub; without it the newest commit is looked up."""
    license: str | None = None
    """Its licence, for the card of what is made of it."""
