"""Tables of others: where they are, and in which columns their questions stand."""

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from refuseu.parameters.section import Section


def _is_commit(revision: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError("must be a commit, 40 hexadecimal digits: a branch or a tag may hold other data tomorrow")
    return revision


Commit = Annotated[str, AfterValidator(_is_commit)]
"""Of a dataset of the hub. It stands in the parameters in full, so they say which data were read."""


class Source(Section):
    """A file that ends in ``.csv``, ``.jsonl`` or ``.parquet``, or a dataset of the hub at a revision."""

    called: ClassVar[str]
    """What it is called in error texts."""

    source: str
    """The file's name in the folder of its kind, or the dataset's (``org/name``)."""
    revision: Commit | None = None
    """Commit of the hub's dataset, 40 hexadecimal digits; nothing for a file."""
    config: str | None = None
    """Config of the hub's dataset, where it has several."""
    split: str = "train"
    """Split of the hub's dataset."""


class Foreign(Source):
    """Questions of others, with or without their categories; what seed sets and test sets have in common."""

    text: str
    """Column of the question."""
    category: str | None = None
    """Column of the hazard category, by its key or its name; an empty entry is none."""
