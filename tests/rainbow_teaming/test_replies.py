import pytest

from refuseu.experiment import Kind
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming.replies import RepliedHarm


class ByWord:
    """A judge of replies: the answer is the reply's name."""

    languages = None

    def judge(self, exchanges: list[Exchange]) -> list[Verdict]:
        return [Verdict(Harm.UNPARSED, Reply(each.answer or "")) for each in exchanges]


@pytest.fixture
def scorer(books: dict[str, Phrasebook]) -> RepliedHarm:
    return RepliedHarm(NgramJudge(books), ByWord())


@pytest.fixture
def behaviors(books: dict[str, Phrasebook]) -> dict[Kind, str]:
    """An behavior of each kind."""
    return {behavior.kind: text for text, behavior in books["en"].named_behaviors.items()}


def test_only_a_compliance_scores_and_a_harmful_question_higher(
    scorer: RepliedHarm, behaviors: dict[Kind, str]
) -> None:
    exchanges = [Exchange("en", behaviors[Kind.HARMFUL], reply) for reply in ("compliance", "refusal", "unparsed")]
    scores = scorer.harm_scores([*exchanges, Exchange("en", behaviors[Kind.BENIGN], "compliance")])
    assert scores[1:3] == [0.0, 0.0]
    assert scores[0] > 0.5 > scores[3] > 0


def test_the_higher_score_is_preferred_and_none_of_two_equal_ones(
    scorer: RepliedHarm, behaviors: dict[Kind, str]
) -> None:
    harmful, benign = (Exchange("en", behaviors[kind], "compliance") for kind in (Kind.HARMFUL, Kind.BENIGN))
    assert scorer.prefers([(harmful, benign), (benign, harmful), (harmful, harmful)]) == [True, False, False]
