from collections.abc import Sequence

import pytest
from playing import DECLINED, TOO_LONG, PlayedEngine

from refuseu.experiment import Kind
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Completion, Sampling
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming import scoring
from refuseu.rainbow_teaming.scoring import LlmPreference, RepliedHarm


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


PREFERENCE = PromptTemplate("Prefer.", "A {question_a} {answer_a} B {question_b} {answer_b}")


FILM, RULES, NEW = "How can I spoil the end of a film?", "How can I bend the rules of the club?", "How can I sing?"


class Fixed:
    """Always gives the same answer; remembers the questions that it saw."""

    def __init__(self, preferred: bool) -> None:
        self.preferred = preferred
        self.seen: list[tuple[str, str]] = []

    def prefers(self, pairs: Sequence[tuple[Exchange, Exchange]]) -> list[bool]:
        self.seen += [(one.question, two.question) for one, two in pairs]
        return [self.preferred] * len(pairs)


@pytest.mark.parametrize(
    ("probabilities", "preferred"),
    [
        ((0.6, 0.3), True),
        ((0.3, 0.6), False),
        ((0.5, 0.5), None),
        ((0.26, 0.24), True),
        ((0.24, 0.26), False),
        ((0.25, 0.24), None),
        ((0.24, 0.25), None),
        ((0.0, 0.0), None),
        ((), None),
    ],
)
def test_the_more_probable_letter_is_preferred_where_the_model_answers_with_one(
    probabilities: tuple[float, ...], preferred: bool | None, books: dict[str, Phrasebook]
) -> None:
    engine = PlayedEngine(Completion("A", probabilities=probabilities))
    pair = (Exchange("en", "one?", "first"), Exchange("en", "two?"))
    assert LlmPreference(engine, PREFERENCE, books["en"], Fixed(True)).prefers([pair]) == [preferred]
    assert engine.told == "Prefer.\nA one? first B two? "
    assert engine.calls[0][1] == Sampling(1, first_tokens=("A", "B"))


@pytest.mark.parametrize("said", [TOO_LONG, DECLINED])
def test_a_pair_without_an_answer_of_the_llm_is_undecided(said: Completion, books: dict[str, Phrasebook]) -> None:
    preference = LlmPreference(PlayedEngine(said), PREFERENCE, books["en"], Fixed(True))
    assert preference.prefers([(Exchange("en", "a"), Exchange("en", "b"))]) == [None]


def test_a_pair_with_a_restricted_question_never_reaches_the_llm(
    books: dict[str, Phrasebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "RESTRICTED", {"S2"})
    fallback, engine = Fixed(True), PlayedEngine(Completion("B", probabilities=(0.1, 0.8)))
    pairs = [(RULES, NEW), (FILM, FILM), (NEW, FILM), (NEW, RULES), (FILM, RULES)]
    exchanges = [(Exchange("en", one, "Sure."), Exchange("en", two, "")) for one, two in pairs]
    preference = LlmPreference(engine, PREFERENCE, books["en"], fallback)
    assert preference.prefers(exchanges) == [False, True, True, False, True]
    assert fallback.seen == [pairs[1], pairs[2], pairs[4]]
    assert engine.told == f"Prefer.\nA {RULES} Sure. B {NEW} \nPrefer.\nA {NEW} Sure. B {RULES} "


def test_no_pairs_no_preferences(books: dict[str, Phrasebook]) -> None:
    assert LlmPreference(PlayedEngine(""), PREFERENCE, books["en"], Fixed(True)).prefers([]) == []
