"""How many rows a run makes: the profile's sizes times shares that a run had, or that are assumed."""

from dataclasses import dataclass

from refuseu.parameters.rainbow_teaming import NoPart, PhrasebookPart
from refuseu.parameters.whole import Parameters


@dataclass(frozen=True)
class Shares:
    """What is left after each filter (0-1)."""

    source: str
    """Where they come from, in words."""
    accepted: float
    """Of the candidates that enter the archive while it has room."""
    filled: float
    """Of the archive's places that can be filled at all."""
    translated: float
    """Of the translations that are kept."""
    labelled: float
    """Of the pairs that the judges keep."""
    complete: float
    """Of the questions of the search that are there in all languages after labelling."""
    held_out: float
    """Of those that one unseen ask a category keeps out of every part."""
    disputed: float
    """Of the evaluated answers that the adjudicator must rule on."""


MINIATURE = Shares("as the miniature's run had them", 0.38, 0.97, 1.0, 0.98, 0.7, 0.042, 0.05)
"""From ``metrics/*.json``."""
PAPER = Shares(
    "assumed, but for the questions that are complete: the paper kept 4,289 of somewhat more than 100,000",
    0.5,
    1.0,
    0.9,
    0.3,
    0.043,
    0.0,
    0.2,
)


@dataclass(frozen=True)
class Flow:
    """Rows from stage to stage; questions are counted in English alone, rows in all languages."""

    candidates: int
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


def shares_of(parameters: Parameters) -> Shares:
    """The miniature's where the phrasebook writes the questions, for its judges know them; else the paper's."""
    return MINIATURE if isinstance(parameters.rainbow_teaming.mutator, PhrasebookPart) else PAPER


def flow_of(parameters: Parameters) -> Flow:
    """The rows of a whole run with an empty row store."""
    shares, search, split, dpo = shares_of(parameters), parameters.rainbow_teaming, parameters.split, parameters.dpo
    languages, cells = len(parameters.languages), len(parameters.categories) * len(parameters.styles)
    kinds = 1 if isinstance(search.twin, NoPart) else 2
    candidates = search.iterations * search.mutations
    entering = round(candidates * shares.accepted)
    questions = min(entering, round(cells * search.elites_per_cell * shares.filled))
    to_translate = questions * kinds * languages
    pairs = round(to_translate * shares.translated)
    held_out = shares.held_out * (split.unseen_test_asks + split.unseen_dev_asks)
    slots = round(questions * shares.complete * (1 - held_out))
    test = min(split.test_per_cell * cells, slots)
    dev = min(split.dev_per_category * len(parameters.categories), slots - test)
    train = slots - test - dev
    mixes = {name: _mix(parameters, name, train, kinds) for name in parameters.train.configs}
    return Flow(
        candidates=candidates,
        contests=entering - questions,
        questions=questions,
        to_translate=to_translate,
        pairs=pairs,
        labelled=round(pairs * shares.labelled),
        train=train,
        dev=dev,
        test=test,
        kinds=kinds,
        languages=languages,
        mixes=mixes,
        trained_on={name: dpo.steps_for(rows) * dpo.batch_size for name, rows in mixes.items()},
        others=len(parameters.eval.models),
    )


def _mix(parameters: Parameters, name: str, train: int, kinds: int) -> int:
    """Pairs of a config: all harmful questions in each of its languages, and its share of benign twins."""
    harmful = train * len(parameters.train.languages_of(name, parameters.languages))
    return round(harmful / (1 - parameters.train.benign_share_of(name))) if kinds == 2 else harmful
