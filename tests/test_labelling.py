from collections.abc import Sequence

import pandas as pd
import pytest

from refuseu.identification import Identified, Identifier
from refuseu.judges.panel import Panel
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.labelling import agreement, confusion, defined, judge_pairs, reasons, yields
from refuseu.parameters import Label
from refuseu.records import VERDICT

PAPER = Label(
    judges=["lexicon", "ngrams"], adjudicator="nearest", question="all", chosen="all", rejected="any"
)  # fmt: skip
LENIENT = PAPER.model_copy(update={"question": "any", "chosen": "any"})
STRICT = PAPER.model_copy(update={"rejected": "all"})


class FakeIdentifier(Identifier):
    """Among the project's languages, a text's is its first two letters; among all, it is some other."""

    def __init__(self) -> None:
        pass

    def identify(self, text: str) -> Identified:
        return Identified(text[:2], "xx")


class FakeJudge:
    """An exchange with an answer is safe, a bare question harmful."""

    def __init__(self, name: str) -> None:
        self.name = name

    def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        return [
            Verdict(Harm.HARMFUL, Reply.ABSENT) if each.answer is None else Verdict(Harm.SAFE, Reply(each.answer))
            for each in exchanges
        ]


def pair(kind: str = "harmful", text: str = "en", chosen: str = "en", rejected: str = "en") -> pd.DataFrame:
    row = {"question_id": "q", "lang": "en", "kind": kind, "text": text, "chosen": chosen, "rejected": rejected}
    return pd.DataFrame([row])


def verdicts(**items: str) -> pd.DataFrame:
    """Per item the votes of lexicon and ngrams, each as harm/reply."""
    rows = []
    for item, votes in items.items():
        for judge, vote in zip(PAPER.judges, votes.split(), strict=True):
            harm, reply = vote.split("/")
            rows.append(("q", "en", item, judge, harm, reply))
    return pd.DataFrame(rows, columns=list(VERDICT))


GOOD = {
    "question": "harmful/absent harmful/absent",
    "chosen": "safe/refusal safe/refusal",
    "rejected": "harmful/compliance harmful/compliance",
}
BENIGN = {
    "question": "safe/absent safe/absent",
    "chosen": "safe/compliance safe/compliance",
    "rejected": "safe/refusal safe/refusal",
}
NOT_HARMFUL, NOT_CHOSEN, NOT_REJECTED = (
    "question not harmful",
    "chosen not a safe refusal",
    "rejected not a harmful compliance",
)


@pytest.mark.parametrize(
    ("changed", "protocol", "expected"),
    [
        ({}, PAPER, None),
        ({"question": "harmful/absent safe/absent"}, PAPER, NOT_HARMFUL),
        ({"question": "unparsed/absent harmful/absent"}, PAPER, NOT_HARMFUL),
        ({"question": "harmful/absent safe/absent"}, LENIENT, None),
        ({"question": "safe/absent unparsed/absent"}, LENIENT, NOT_HARMFUL),
        ({"chosen": "safe/refusal unparsed/unparsed"}, PAPER, NOT_CHOSEN),
        ({"chosen": "safe/refusal unparsed/refusal"}, PAPER, NOT_CHOSEN),
        ({"chosen": "safe/refusal harmful/compliance"}, LENIENT, None),
        ({"rejected": "safe/refusal harmful/compliance"}, PAPER, None),
        ({"rejected": "safe/refusal harmful/compliance"}, STRICT, NOT_REJECTED),
        ({"rejected": "safe/refusal unparsed/unparsed"}, PAPER, NOT_REJECTED),
        ({"rejected": "unparsed/compliance unparsed/compliance"}, PAPER, NOT_REJECTED),
        (
            {"question": "safe/absent safe/absent", "chosen": "harmful/compliance harmful/compliance"},
            PAPER,
            NOT_HARMFUL,
        ),
        ({"chosen": "unparsed/unparsed safe/refusal", "rejected": "safe/refusal safe/refusal"}, PAPER, NOT_CHOSEN),
    ],
)
def test_harmful_pairs(changed: dict[str, str], protocol: Label, expected: str | None) -> None:
    assert reasons(pair(), verdicts(**{**GOOD, **changed}), protocol, FakeIdentifier()) == [expected]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, None),
        ({"question": "safe/absent harmful/absent"}, "question not safe"),
        ({"question": "safe/absent unparsed/absent"}, "question not safe"),
        ({"chosen": "safe/compliance safe/refusal"}, "chosen not a compliance"),
        ({"rejected": "safe/compliance safe/compliance"}, "rejected not a refusal"),
        ({"rejected": "safe/compliance safe/refusal"}, None),
    ],
)
def test_benign_pairs(changed: dict[str, str], expected: str | None) -> None:
    assert reasons(pair("benign"), verdicts(**{**BENIGN, **changed}), PAPER, FakeIdentifier()) == [expected]


@pytest.mark.parametrize("item", ["text", "chosen", "rejected"])
def test_the_language_must_be_right_in_all_three(item: str) -> None:
    assert reasons(pair(**{item: "de"}), verdicts(**GOOD), PAPER, FakeIdentifier()) == ["wrong language"]


def test_no_pairs_no_reasons() -> None:
    assert reasons(pair()[:0], verdicts(), PAPER, FakeIdentifier()) == []


def test_judge_pairs_asks_every_judge_about_every_item() -> None:
    panel = Panel([FakeJudge("one"), FakeJudge("two")], FakeJudge("three"))
    rows = judge_pairs(pair(chosen="refusal", rejected="unparsed"), panel)
    assert list(rows.columns) == list(VERDICT)
    common = {"question_id": "q", "lang": "en"}
    said = {"question": ("harmful", "absent"), "chosen": ("safe", "refusal"), "rejected": ("safe", "unparsed")}
    assert rows.to_dict("records") == [
        {**common, "item": item, "judge": judge, "harm": harm, "reply": reply}
        for item, (harm, reply) in said.items()
        for judge in ("one", "two", "three")
    ]


def agreeing(first: Sequence[str], second: Sequence[str], third: Sequence[str]) -> pd.DataFrame:
    """The same verdicts of the three judges on each item."""
    votes = {"lexicon": first, "ngrams": second, "nearest": third}
    rows = [
        (f"q{number}", "en", item, judge, harm, "absent")
        for item in ("question", "chosen", "rejected")
        for judge, harms in votes.items()
        for number, harm in enumerate(harms)
    ]
    return pd.DataFrame(rows, columns=list(VERDICT))


def test_agreement_on_a_textbook_table() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed 0.7, by chance 0.5, kappa 0.4
    first = ["harmful"] * 25 + ["safe"] * 25
    second = ["harmful"] * 20 + ["safe"] * 5 + ["harmful"] * 10 + ["safe"] * 15
    found = agreement(agreeing(first, second, first), PAPER)
    assert list(found) == ["question", "chosen", "rejected"]
    for item in found.values():
        assert item["cohens_kappa"] == pytest.approx(0.4)
        # observed (35 + 15 / 3) / 50 = 0.8; by chance (80 / 150)**2 + (70 / 150)**2
        assert item["fleiss_kappa"] == pytest.approx((0.8 - 0.502222) / 0.497778, abs=1e-5)
        assert item["confusion"] == {
            "harmful": {"harmful": 20, "safe": 5, "unparsed": 0},
            "safe": {"harmful": 10, "safe": 15, "unparsed": 0},
            "unparsed": {"harmful": 0, "safe": 0, "unparsed": 0},
        }
        assert item["unparsed"] == {"lexicon": 0, "nearest": 0, "ngrams": 0}


def test_unparsed_is_counted_by_judge() -> None:
    found = agreement(agreeing(["harmful", "unparsed"], ["safe", "safe"], ["unparsed", "unparsed"]), PAPER)["chosen"]
    assert found["unparsed"] == {"lexicon": 1, "nearest": 2, "ngrams": 0}
    assert found["confusion"]["unparsed"] == {"harmful": 0, "safe": 1, "unparsed": 0}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_kappa_is_undefined_where_all_verdicts_are_the_same() -> None:
    found = agreement(agreeing(*[["safe", "safe"]] * 3), PAPER)["question"]
    assert (found["cohens_kappa"], found["fleiss_kappa"]) == (None, None)
    assert found["confusion"]["safe"]["safe"] == 2


def test_defined() -> None:
    assert (defined(float("nan")), defined(0.0), defined(-0.5)) == (None, 0.0, -0.5)


def test_confusion_is_square_and_oriented() -> None:
    table = confusion(["harmful", "harmful", "safe"], ["safe", "safe", "safe"])
    assert list(table.index) == list(table.columns) == ["harmful", "safe", "unparsed"]
    assert table.to_numpy().tolist() == [[0, 2, 0], [0, 1, 0], [0, 0, 0]]


def test_yields_are_percentages_of_the_pairs() -> None:
    judged = pd.DataFrame(
        {
            "kind": ["harmful", "harmful", "harmful", "benign"],
            "lang": ["en", "en", "de", "de"],
            "category": ["S1", "S2", "S1", "S1"],
            "reason": [None, "wrong language", None, "wrong language"],
        }
    )
    assert yields(judged) == {
        "acceptance": 50.0,
        "acceptance_by_kind": {"benign": 0.0, "harmful": pytest.approx(200 / 3)},
        "acceptance_by_lang": {"de": 50.0, "en": 50.0},
        "acceptance_by_category": {"S1": pytest.approx(200 / 3), "S2": 0.0},
    }


def test_the_adjudicator_has_no_vote() -> None:
    adjudicators = verdicts(**GOOD).query("judge == 'lexicon'").assign(judge="nearest", harm="safe", reply="unparsed")
    votes = pd.concat([verdicts(**GOOD), adjudicators])
    assert reasons(pair(), votes, STRICT, FakeIdentifier()) == [None]
    only_adjudicator = verdicts(**{**GOOD, "rejected": "safe/refusal safe/refusal"})
    votes = pd.concat([only_adjudicator, adjudicators.assign(harm="harmful", reply="compliance")])
    assert reasons(pair(), votes, PAPER, FakeIdentifier()) == [NOT_REJECTED]


def test_complying_with_what_the_judge_holds_for_harmless_is_not_harmful() -> None:
    votes = verdicts(**{**GOOD, "rejected": "safe/compliance safe/compliance"})
    assert reasons(pair(), votes, PAPER, FakeIdentifier()) == [NOT_REJECTED]
