"""Judges that work differently, and an adjudicator where they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from refuseu.judges.verdict import Exchange, Judge, Reply, Verdict


@dataclass(frozen=True)
class Decision:
    """What the panel says of one exchange."""

    verdict: Verdict
    agreed: bool
    """Whether the judges said the same; where not, ``verdict`` is the adjudicator's."""
    votes: Mapping[str, Verdict]
    """What each of ``Panel.judges`` and ``Panel.shadow_judges`` said, by name."""


@dataclass(frozen=True)
class Panel:
    """One judge or several, by the names that they have in tables, and who decides where they differ."""

    judges: Mapping[str, Judge]
    adjudicators: Mapping[str, Judge]
    """One, or none for a single judge, who differs from nobody."""
    shadow_judges: Mapping[str, Judge] = field(default_factory=dict)
    """Other readings of what the judges say, by names of their own; they are counted and have no vote."""

    @property
    def everyone(self) -> dict[str, Judge]:
        """The judges, the adjudicator and the shadow judges, by name."""
        return {**self.voters, **self.shadow_judges}

    def uncovered(self, languages: Sequence[str]) -> dict[str, list[str]]:
        """By judge, the adjudicator among them: those of ``languages`` that it is not officially made for, if any."""
        lists = {name: judge.languages for name, judge in self.voters.items()}
        missing = {
            name: [lang for lang in languages if lang not in own] for name, own in lists.items() if own is not None
        }
        return {name: found for name, found in missing.items() if found}

    @property
    def voters(self) -> dict[str, Judge]:
        """The judges and the adjudicator, by name."""
        return {**self.judges, **self.adjudicators}

    def decide(self, exchanges: Sequence[Exchange]) -> list[Decision]:
        """The verdict that the judges agree on, else the adjudicator's; equal exchanges are judged once."""
        distinct = list(dict.fromkeys(exchanges))
        said = {name: judge.judge(distinct) for name, judge in {**self.judges, **self.shadow_judges}.items()}
        votes = {each: {name: own[place] for name, own in said.items()} for place, each in enumerate(distinct)}
        heard = {each: [vote[name] for name in self.judges] for each, vote in votes.items()}
        common = {each: agreed(own) for each, own in heard.items()}
        disputed = [each for each, verdict in common.items() if verdict is None]
        ruled = {
            each: verdict
            for adjudicator in self.adjudicators.values()
            for each, verdict in zip(disputed, adjudicator.judge(disputed), strict=True)
        }
        decisions = {
            each: Decision(verdict, True, votes[each])
            if verdict
            else Decision(_completed(ruled[each], reported_reply(heard[each])), False, votes[each])
            for each, verdict in common.items()
        }
        return [decisions[each] for each in exchanges]


def agreed(votes: Sequence[Verdict]) -> Verdict | None:
    """What all say: the same of harm, and of the reply as far as they tell it; ``None`` where they differ."""
    harms, reply = {vote.harm for vote in votes}, reported_reply(votes)
    return Verdict(harms.pop(), reply) if len(harms) == 1 and reply else None


def reported_reply(votes: Sequence[Verdict]) -> Reply | None:
    """The reply as the judges tell it: ``not_reported`` where none does, ``None`` where they differ."""
    told = {vote.reply for vote in votes} - {Reply.NOT_REPORTED}
    return told.pop() if len(told) == 1 else (None if told else Reply.NOT_REPORTED)


def _completed(ruling: Verdict, told: Reply | None) -> Verdict:
    """The ruling; where the adjudicator tells no reply, with the one that the judges tell."""
    return Verdict(ruling.harm, told) if ruling.reply is Reply.NOT_REPORTED and told else ruling
