"""Tables of others: where they are, and in which columns their questions stand."""

from typing import ClassVar

from refuseu.parameters.section import Section


class Source(Section):
    """A file that ends in ``.csv``, ``.jsonl`` or ``.parquet``, or a dataset of the hub at a revision."""

    called: ClassVar[str]
    """What it is called in error texts."""

    source: str
    """The file's name in the folder of its kind, or the dataset's (``org/name``)."""
    revision: str | None = None
    """Commit of the hub's dataset."""
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
