"""Judges that work differently, and an adjudicator where they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refuseu.judges.verdict import Exchange, Judge, Reply, Verdict


@dataclass(frozen=True)
class Decision:
    """What the panel says of one exchange."""

    verdict: Verdict
    agreed: bool
    """Whether the judges said the same; where not, ``verdict`` is the adjudicator's."""


@dataclass(frozen=True)
class Panel:
    """One judge or several, by the names that they have in tables, and who decides where they differ."""

    judges: Mapping[str, Judge]
    adjudicators: Mapping[str, Judge]
    """One, or none for a single judge, who differs from nobody."""

    @property
    def voters(self) -> dict[str, Judge]:
        """The judges and the adjudicator, by name."""
        return {**self.judges, **self.adjudicators}

    def decide(self, exchanges: Sequence[Exchange]) -> list[Decision]:
        """The verdict that the judges agree on, else the adjudicator's; equal exchanges are judged once."""
        distinct = list(dict.fromkeys(exchanges))
        votes = list(zip(*(judge.judge(distinct) for judge in self.judges.values()), strict=True))
        common = dict(zip(distinct, map(agreed, votes), strict=True))
        disputed = [exchange for exchange, verdict in common.items() if verdict is None]
        ruled = {
            exchange: verdict
            for adjudicator in self.adjudicators.values()
            for exchange, verdict in zip(disputed, adjudicator.judge(disputed), strict=True)
        }
        told = {exchange: told_reply(vote) for exchange, vote in zip(distinct, votes, strict=True)}
        decisions = {
            exchange: Decision(verdict, True)
            if verdict
            else Decision(_completed(ruled[exchange], told[exchange]), False)
            for exchange, verdict in common.items()
        }
        return [decisions[exchange] for exchange in exchanges]


def agreed(votes: Sequence[Verdict]) -> Verdict | None:
    """What all say: the same of harm, and of the reply as far as they tell it; ``None`` where they differ."""
    harms, reply = {vote.harm for vote in votes}, told_reply(votes)
    return Verdict(harms.pop(), reply) if len(harms) == 1 and reply else None


def told_reply(votes: Sequence[Verdict]) -> Reply | None:
    """The reply as the judges tell it: ``untold`` where none does, ``None`` where they differ."""
    told = {vote.reply for vote in votes} - {Reply.UNTOLD}
    return told.pop() if len(told) == 1 else (None if told else Reply.UNTOLD)


def _completed(ruling: Verdict, told: Reply | None) -> Verdict:
    """The ruling; where the adjudicator tells no reply, with the one that the judges tell."""
    return Verdict(ruling.harm, told) if ruling.reply is Reply.UNTOLD and told else ruling
