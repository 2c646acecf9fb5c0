"""Where external and published datasets are, and which of their columns are read."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from refuseu.core.sections import Section


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


class ByPublished(Section):
    """The published set plays the role."""

    kind: Literal["published"]


class Published(Section):
    """Where the published set is; it has the configs and columns of NASK-PIB/RefusEU."""

    source: str
    """A dataset of the hub (``org/name``), or a folder in ``data/published``."""
    revision: str | None = None
    """Commit of a dataset of the hub; without it the newest commit is looked up."""
