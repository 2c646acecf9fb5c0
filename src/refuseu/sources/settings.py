"""Tables of others: where they are, and in which columns their questions stand."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from refuseu.core.sections import Section


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


class ExternalTable(Source):
    """Questions of others, with or without their categories; what seed sets and test sets have in common."""

    text: str
    """Column of the question."""
    category: str | None = None
    """Column of the hazard category, by its key or its name; an empty entry is none."""


class ByPublished(Section):
    """A part whose work the published set holds."""

    kind: Literal["published"]


class Published(Section):
    """Where the set is; its columns are those of NASK-PIB/RefusEU."""

    source: str
    """A dataset of the hub (``org/name``), or the name of a folder in ``data/published``."""
    revision: str | None = None
    """Commit of the hub's dataset; left open, the newest is looked up."""
    config: str = "multilingual"
    """Config of the dataset, or the folder in the folder, which holds the splits ``train`` and ``test``."""
