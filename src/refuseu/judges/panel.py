"""Two judges that work differently, and an adjudicator where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from refuseu.judges.lexicon import LexiconJudge
from refuseu.judges.nearest import NearestJudge
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.verdict import Exchange, Judge, Verdict
from refuseu.phrasebook import Phrasebook

JUDGES = {judge.name: judge for judge in (LexiconJudge, NgramJudge, NearestJudge)}


@dataclass(frozen=True)
class Decision:
    verdict: Verdict
    agreed: bool
    """Whether the two judges gave the same verdict; where not, ``verdict`` is the adjudicator's."""


class Panel:
    def __init__(self, judges: Sequence[Judge], adjudicator: Judge) -> None:
        self.judges = list(judges)
        self.adjudicator = adjudicator

    @classmethod
    def of(cls, books: dict[str, Phrasebook], judges: Sequence[str], adjudicator: str) -> "Panel":
        """The panel that ``params.yaml`` names."""
        return cls([JUDGES[name](books) for name in judges], JUDGES[adjudicator](books))

    def votes(self, exchanges: Sequence[Exchange]) -> dict[str, list[Verdict]]:
        """The verdicts of both judges and of the adjudicator by name, in the order of ``exchanges``."""
        return {judge.name: judge.judge(exchanges) for judge in (*self.judges, self.adjudicator)}

    def decide(self, exchanges: Sequence[Exchange]) -> list[Decision]:
        """The verdict both judges agree on, else the adjudicator's; equal exchanges are judged once."""
        distinct = list(dict.fromkeys(exchanges))
        first, second = (judge.judge(distinct) for judge in self.judges)
        disputed = [exchange for exchange, a, b in zip(distinct, first, second, strict=True) if a != b]
        ruled = dict(zip(disputed, self.adjudicator.judge(disputed), strict=True))
        decisions = {
            exchange: Decision(ruled.get(exchange, verdict), exchange not in ruled)
            for exchange, verdict in zip(distinct, first, strict=True)
        }
        return [decisions[exchange] for exchange in exchanges]
