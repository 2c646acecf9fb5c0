"""How many rows a run makes: the profile's sizes times shares that a run had, or that are assumed."""

from dataclasses import dataclass
from pathlib import Path

from refuseu.commands.parameters import Parameters
from refuseu.commands.plan.published import SetSizes, set_sizes, takes_published
from refuseu.commands.plan.shares import Shares, shares_of
from refuseu.commands.plan.sides import drawn_sides, published_sides
from refuseu.rainbow_teaming.settings import NoRole

PUBLISHED = Path("data/published")


@dataclass(frozen=True)
class Flow:
    """Rows from stage to stage; questions are counted in English alone, rows in all languages."""

    source: str
    """Where the shares that are kept come from, in words."""
    candidates: int
    """Questions that the search tries, or that a published set holds."""
    contests: int
    """Candidates that meet a full cell."""
    questions: int
    """Harmful ones."""
    to_translate: int
    pairs: int
    labelled: int
    train: int
    """Harmful questions, as those of the next two."""
    dev: int
    test: int
    kinds: int
    """2 with benign twins, else 1."""
    languages: int
    mixes: dict[str, int]
    """Pairs of each config."""
    trained_on: dict[str, int]
    """Pairs that each config's training sees, repeated ones too."""
    others: int
    """Models of others that are evaluated."""

    @property
    def parts_rows(self) -> int:
        """Of train, dev and test together."""
        return (self.train + self.dev + self.test) * self.kinds * self.languages

    @property
    def test_rows(self) -> int:
        return self.test * self.kinds * self.languages

    @property
    def models(self) -> int:
        """That are evaluated: the base, one a config, and those of others."""
        return len(self.mixes) + 1 + self.others


@dataclass(frozen=True)
class _Found:
    """Questions that the search gives."""

    candidates: int
    contests: int
    questions: int
    source: str


def flow_of(parameters: Parameters, published: Path = PUBLISHED) -> Flow:
    """The rows of a whole run with an empty row store; published sets on this machine lie in the folder ``published``."""
    shares, dpo = shares_of(parameters), parameters.dpo
    languages = len(parameters.languages)
    kinds = 1 if isinstance(parameters.rainbow_teaming.twin, NoRole) else 2
    sizes = set_sizes(parameters, published) if takes_published(parameters) else None
    found = _taken(sizes, shares) if sizes else _searched(parameters, shares)
    to_translate = found.questions * kinds * languages
    pairs = round(to_translate * shares.translated)
    complete = shares.complete**languages
    if sizes and parameters.split.assignment == "published":
        sides = published_sides(parameters, sizes, complete)
    else:
        sides = drawn_sides(parameters, round(found.questions * complete))
    mixes = {name: _mix(parameters, name, sides["train"], kinds) for name in parameters.train.configs}
    return Flow(
        source=found.source,
        candidates=found.candidates,
        contests=found.contests,
        questions=found.questions,
        to_translate=to_translate,
        pairs=pairs,
        labelled=round(pairs * shares.labelled),
        train=sides["train"],
        dev=sides["dev"],
        test=sides["test"],
        kinds=kinds,
        languages=languages,
        mixes=mixes,
        trained_on={name: dpo.steps_for(rows) * dpo.batch_size for name, rows in mixes.items()},
        others=len(parameters.eval.models),
    )


def _searched(parameters: Parameters, shares: Shares) -> _Found:
    search, cells = parameters.rainbow_teaming, len(parameters.categories) * len(parameters.styles)
    candidates = search.iterations * search.mutations
    entering = round(candidates * shares.accepted)
    questions = min(entering, round(cells * search.elites_per_cell * shares.filled))
    return _Found(candidates, entering - questions, questions, shares.source)


def _taken(sizes: SetSizes, shares: Shares) -> _Found:
    """The questions of a published set, which no search has to find."""
    return _Found(sizes.questions, 0, sizes.train + sizes.test, f"{shares.source}; {sizes.source}")


def _mix(parameters: Parameters, name: str, train: int, kinds: int) -> int:
    """Pairs of a config: all harmful questions in each of its languages, and its share of benign twins."""
    harmful = train * len(parameters.train.languages_of(name, parameters.languages))
    return round(harmful / (1 - parameters.train.benign_share_of(name))) if kinds == 2 else harmful
