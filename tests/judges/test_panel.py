from collections.abc import Sequence

import pytest

from refuseu.judges.lexicon import LexiconJudge
from refuseu.judges.nearest import NearestJudge
from refuseu.judges.panel import JUDGES, Decision, Panel
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.phrasebook import Phrasebook


class FakeJudge:
    """Says of a question what ``verdicts`` holds, and remembers what it saw."""

    def __init__(self, name: str, **verdicts: Harm) -> None:
        self.name = name
        self._verdicts = verdicts
        self.seen: list[list[str]] = []

    def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        self.seen.append([exchange.question for exchange in exchanges])
        return [Verdict(self._verdicts[exchange.question], Reply.ABSENT) for exchange in exchanges]


@pytest.fixture
def panel() -> Panel:
    one = FakeJudge("one", a=Harm.HARMFUL, b=Harm.SAFE, c=Harm.UNPARSED)
    two = FakeJudge("two", a=Harm.HARMFUL, b=Harm.UNPARSED, c=Harm.UNPARSED)
    return Panel([one, two], FakeJudge("three", a=Harm.SAFE, b=Harm.HARMFUL, c=Harm.SAFE))


def exchanges(questions: str) -> list[Exchange]:
    return [Exchange("en", question) for question in questions]


def test_agreement_stands_and_the_adjudicator_decides_the_rest(panel: Panel) -> None:
    assert panel.decide(exchanges("abc")) == [
        Decision(Verdict(Harm.HARMFUL, Reply.ABSENT), agreed=True),
        Decision(Verdict(Harm.HARMFUL, Reply.ABSENT), agreed=False),
        Decision(Verdict(Harm.UNPARSED, Reply.ABSENT), agreed=True),
    ]
    assert panel.adjudicator.seen == [["b"]]


def test_equal_exchanges_are_judged_once_and_all_answered(panel: Panel) -> None:
    decisions = panel.decide(exchanges("babb"))
    assert [decision.agreed for decision in decisions] == [False, True, False, False]
    assert [judge.seen for judge in (*panel.judges, panel.adjudicator)] == [[["b", "a"]], [["b", "a"]], [["b"]]]


def test_the_same_harm_with_another_reply_is_a_dispute() -> None:
    class Refusal(FakeJudge):
        def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
            return [Verdict(Harm.SAFE, Reply.REFUSAL) for _ in exchanges]

    panel = Panel([FakeJudge("one", a=Harm.SAFE), Refusal("two")], FakeJudge("three", a=Harm.UNPARSED))
    assert panel.decide(exchanges("a")) == [Decision(Verdict(Harm.UNPARSED, Reply.ABSENT), agreed=False)]


def test_votes_are_everyones(panel: Panel) -> None:
    votes = panel.votes(exchanges("ba"))
    assert {name: [verdict.harm.value for verdict in verdicts] for name, verdicts in votes.items()} == {
        "one": ["safe", "harmful"],
        "two": ["unparsed", "harmful"],
        "three": ["harmful", "safe"],
    }


def test_nothing_to_decide(panel: Panel) -> None:
    assert panel.decide([]) == []


def test_of_makes_the_named_judges(books: dict[str, Phrasebook]) -> None:
    panel = Panel.of(books, ["nearest", "lexicon"], "ngrams")
    assert [type(judge) for judge in panel.judges] == [NearestJudge, LexiconJudge]
    assert panel.adjudicator.name == "ngrams"
    assert list(JUDGES) == ["lexicon", "ngrams", "nearest"]
