"""How many questions a published set gives a run: counted where the set is on this machine, else known or not."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from refuseu.commands.parameters import Parameters
from refuseu.core.errors import UserError
from refuseu.experiment import RESTRICTED
from refuseu.rainbow_teaming.published import published_questions
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import ByPublished
from refuseu.store.rows import Store

KNOWN = {"NASK-PIB/RefusEU": (2_889, 1_400)}
"""Questions of train and test in each language, as the paper tells them."""
CATEGORIES = 14
"""Hazard categories of a set that is known. Its test has as many questions of each; its train is taken to have."""


@dataclass(frozen=True)
class SetSizes:
    """Questions of a set, each counted once for all languages."""

    source: str
    """Where the numbers come from, in words."""
    questions: int = 0
    """Of the whole set."""
    train: int = 0
    """That the run takes, of the set's train side."""
    test: int = 0
    """Likewise of its test side."""


def takes_published(parameters: Parameters) -> bool:
    """Whether the questions are a published set's, so that nothing is searched."""
    return isinstance(parameters.rainbow_teaming.mutator, ByPublished)


def local_set(parameters: Parameters, folder: Path) -> PublishedSet | None:
    """The published set that lies in ``folder``; ``None`` where it is the hub's."""
    if "/" in parameters.published.source:
        return None
    # Only a set of the hub keeps anything in the store: its commit.
    return PublishedSet(parameters.published, folder, parameters.languages, Store(Path(":memory:")))


def set_sizes(parameters: Parameters, folder: Path) -> SetSizes:
    """The sizes of the set that the profile names; sets on this machine lie in ``folder``."""
    source = parameters.published.source
    here = local_set(parameters, folder)
    if here:
        return _counted(here, parameters)
    if source not in KNOWN:
        return SetSizes(f"the questions of {source} are not counted, nor anything that follows from them")
    train, test = KNOWN[source]
    taken = sum(each not in RESTRICTED for each in parameters.categories) / CATEGORIES
    return SetSizes(
        f"{source} has {train:,} and {test:,} questions, those of restricted categories are left out",
        train + test,
        round(train * taken),
        round(test * taken),
    )


def _counted(here: PublishedSet, parameters: Parameters) -> SetSizes:
    try:
        questions, account = published_questions(here, parameters)
    except UserError:
        return SetSizes("the set cannot be read, so nothing of it is counted")
    sides = Counter(questions["group_id"].map(here.assignment))
    return SetSizes("the set's questions are counted", account["rows_in"], sides["train"], sides["test"])
