"""A panel: judges that work differently, an adjudicator for where they differ, and the settings that name them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Self

from pydantic import Field, model_validator

from refuseu.core.sections import Section
from refuseu.judges.registry import AnyJudge
from refuseu.judges.settings import JudgeSettings, Resources
from refuseu.judges.verdict import Exchange, Judge, Reply, Verdict

PANEL = "panel"
"""What tables call the decision of all, so that no judge may have the name."""


class PanelSettings(Section):
    """Who judges, and who decides where the judges differ."""

    judges: Annotated[dict[str, AnyJudge], Field(min_length=1)]
    """The judges, by the names that they have in tables."""
    adjudicator: AnyJudge | None = None
    """Decides in the evaluation where the judges differ; a single judge needs none."""
    adjudicator_labels: bool = True
    """Whether the adjudicator judges all pairs too, without a vote, to make its agreement with the judges known. Where each
    call is paid, this is expensive."""

    @property
    def adjudicators(self) -> dict[str, JudgeSettings]:
        """The adjudicator, if there is one, by its kind, which is its name in tables."""
        return {} if self.adjudicator is None else {self.adjudicator.kind: self.adjudicator}

    @property
    def shadow_judges(self) -> dict[str, JudgeSettings]:
        """Other readings of what the judges say, but for those that are judges themselves.

        A reading asks for the same rows as its judge, so the row store has the model asked once.
        """
        found = [reading for name, part in self.judges.items() for reading in part.shadow_judges(name).items()]
        return {name: part for name, part in found if name not in self.judges}

    @property
    def voters(self) -> tuple[str, ...]:
        """The names of those who judge pairs and count for the agreement."""
        return (*self.judges, *(self.adjudicators if self.adjudicator_labels else ()))

    @model_validator(mode="after")
    def _adjudicated(self) -> Self:
        if self.adjudicator is None and len(self.judges) > 1:
            raise ValueError("adjudicator: missing; someone must decide where the judges differ")
        if self.adjudicator in self.judges.values():
            raise ValueError("adjudicator: must differ from all judges")
        if self.adjudicator and self.adjudicator.kind in self.judges:
            raise ValueError(f"judges.{self.adjudicator.kind}: is the adjudicator's name in tables; take another")
        if PANEL in self.judges:
            raise ValueError(f"judges.{PANEL}: is the name of the whole panel in tables; take another")
        return self


@dataclass(frozen=True)
class Decision:
    """What the panel says of one exchange."""

    verdict: Verdict
    agreed: bool
    """Whether the judges said the same. Where they did not, ``verdict`` is the adjudicator's."""
    votes: Mapping[str, Verdict]
    """What each of ``Panel.judges`` and ``Panel.shadow_judges`` said, by name."""

    @property
    def flagged(self) -> bool:
        """Whether anybody who judged it, the adjudicator too, names ``FORBIDDEN``."""
        return self.verdict.flagged or any(vote.flagged for vote in self.votes.values())


@dataclass(frozen=True)
class Panel:
    """One judge or several, by the names that they have in tables, and who decides where they differ."""

    judges: Mapping[str, Judge]
    adjudicators: Mapping[str, Judge]
    """One adjudicator, or none for a single judge, who differs from nobody."""
    shadow_judges: Mapping[str, Judge] = field(default_factory=dict)
    """Other readings of what the judges say, by names of their own. They are counted and have no vote."""

    @property
    def everyone(self) -> dict[str, Judge]:
        """The judges, the adjudicator and the shadow judges, by name."""
        return {**self.voters, **self.shadow_judges}

    @property
    def voters(self) -> dict[str, Judge]:
        """The judges and the adjudicator, by name."""
        return {**self.judges, **self.adjudicators}

    def uncovered(self, languages: Sequence[str]) -> dict[str, list[str]]:
        """Return those of ``languages`` that a judge or the adjudicator is not officially made for, by its name."""
        lists = {name: judge.languages for name, judge in self.voters.items()}
        missing = {
            name: [lang for lang in languages if lang not in own] for name, own in lists.items() if own is not None
        }
        return {name: found for name, found in missing.items() if found}

    def decide(self, exchanges: Sequence[Exchange]) -> list[Decision]:
        """Return the verdict that the judges agree on, else the adjudicator's, for each exchange in order.

        Equal exchanges are judged once.
        """
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


def build_panel(settings: PanelSettings, resources: Resources) -> Panel:
    """Build the judges, the adjudicator and the shadow judges of a profile's section ``label``.

    Raises:
        UserError: when a file or a model that one of them needs is missing or wrong, before anything is judged.
    """
    built = (
        {name: part.build(resources) for name, part in members.items()}
        for members in (settings.judges, settings.adjudicators, settings.shadow_judges)
    )
    return Panel(*built)


def agreed(votes: Sequence[Verdict]) -> Verdict | None:
    """Return what all judges say, or ``None`` where they differ.

    They agree when all say the same of harm, and those that report the reply say the same of it.
    """
    harms, reply = {vote.harm for vote in votes}, reported_reply(votes)
    return Verdict(harms.pop(), reply) if len(harms) == 1 and reply else None


def reported_reply(votes: Sequence[Verdict]) -> Reply | None:
    """Return the reply that the judges report: ``not_reported`` where none does, ``None`` where they differ."""
    reported = {vote.reply for vote in votes} - {Reply.NOT_REPORTED}
    return reported.pop() if len(reported) == 1 else (None if reported else Reply.NOT_REPORTED)


def _completed(ruling: Verdict, reported: Reply | None) -> Verdict:
    """The adjudicator's ruling. Where it does not report the reply, the reply that the judges agree on is put in."""
    return replace(ruling, reply=reported) if ruling.reply is Reply.NOT_REPORTED and reported else ruling


def verdicts(
    judges: dict[str, Judge], panel: Panel | None, exchanges: Sequence[Exchange]
) -> tuple[dict[str, list[Verdict]], list[Decision]]:
    """What each judge says, those of the panel and the panel as a whole among them, and the panel's decisions."""
    said = {name: judge.judge(exchanges) for name, judge in judges.items()}
    decisions = panel.decide(exchanges) if panel else []
    if decisions:
        said |= {name: [each.votes[name] for each in decisions] for name in decisions[0].votes}
        said[PANEL] = [each.verdict for each in decisions]
    return said, decisions
