"""The section ``published``: the set of preference pairs that parts of the kind ``published`` take what others made from."""

from typing import Literal

from refuseu.parameters.section import Section


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
