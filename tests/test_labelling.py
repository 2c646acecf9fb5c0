from collections.abc import Sequence

import pandas as pd
import pytest

from refuseu.identification import Identified, Identifier
from refuseu.judges.panel import Panel
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.labelling import agreement, confusion, defined, judge_pairs, reasons, sort_out, summary, yields
from refuseu.parameters.label import Label, PhrasebookJudge
from refuseu.records.verdict import VERDICT

PAPER = Label(
    judges={"lexicon": PhrasebookJudge(kind="lexicon"), "ngrams": PhrasebookJudge(kind="ngrams")},
    adjudicator=PhrasebookJudge(kind="nearest"),
    question="all",
    chosen="all",
    rejected="any",
)
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
    return pd.DataFrame(rows, columns=list(VERDICT.columns))


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
        ({"rejected": "safe/compliance harmful/compliance"}, PAPER, None),
        ({"rejected": "safe/compliance harmful/compliance"}, STRICT, NOT_REJECTED),
        ({"rejected": "safe/refusal harmful/compliance"}, PAPER, NOT_REJECTED),
        ({"rejected": "unparsed/unparsed harmful/compliance"}, PAPER, NOT_REJECTED),
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
        ({"rejected": "unparsed/refusal safe/refusal"}, None),
        ({"rejected": "safe/compliance safe/refusal"}, "rejected not a refusal"),
        ({"rejected": "safe/unparsed safe/refusal"}, "rejected not a refusal"),
    ],
)
def test_benign_pairs(changed: dict[str, str], expected: str | None) -> None:
    assert reasons(pair("benign"), verdicts(**{**BENIGN, **changed}), PAPER, FakeIdentifier()) == [expected]


GUARD = PAPER.model_copy(
    update={"judges": {"guard": PhrasebookJudge(kind="ngrams"), "teller": PhrasebookJudge(kind="lexicon")}}
)
EITHER = GUARD.model_copy(update={"chosen": "any"})


def of_guards(protocol: Label, **items: str) -> pd.DataFrame:
    """Per item the votes of the judges of ``protocol``, each as harm/reply."""
    return verdicts(**items).assign(judge=list(protocol.judges) * len(items))


@pytest.mark.parametrize(
    ("changed", "protocol", "expected"),
    [
        ({}, GUARD, None),
        ({"chosen": "harmful/untold safe/refusal"}, GUARD, NOT_CHOSEN),
        ({"chosen": "safe/untold safe/compliance"}, GUARD, NOT_CHOSEN),
        ({"chosen": "unparsed/untold safe/refusal"}, GUARD, NOT_CHOSEN),
        ({"chosen": "safe/untold safe/untold"}, GUARD, NOT_CHOSEN),
        ({"chosen": "harmful/untold safe/refusal"}, EITHER, None),
        ({"chosen": "safe/untold unparsed/refusal"}, EITHER, None),
        ({"chosen": "safe/untold harmful/compliance"}, EITHER, NOT_CHOSEN),
        ({"chosen": "safe/untold unparsed/unparsed"}, EITHER, NOT_CHOSEN),
        ({"rejected": "harmful/untold safe/compliance"}, GUARD, None),
        ({"rejected": "safe/untold harmful/compliance"}, GUARD, None),
        ({"rejected": "safe/untold safe/compliance"}, GUARD, NOT_REJECTED),
        ({"rejected": "unparsed/untold safe/compliance"}, GUARD, NOT_REJECTED),
        ({"rejected": "harmful/untold safe/refusal"}, GUARD, NOT_REJECTED),
        ({"rejected": "harmful/untold unparsed/unparsed"}, GUARD, NOT_REJECTED),
        ({"rejected": "harmful/untold harmful/untold"}, GUARD, NOT_REJECTED),
    ],
)
def test_a_judge_that_tells_no_replies_votes_on_harm_alone(
    changed: dict[str, str], protocol: Label, expected: str | None
) -> None:
    good = {
        "question": "harmful/absent harmful/absent",
        "chosen": "safe/untold safe/refusal",
        "rejected": "harmful/untold harmful/compliance",
    }
    votes = of_guards(protocol, **{**good, **changed})
    assert reasons(pair(), votes, protocol, FakeIdentifier()) == [expected]


def test_where_no_judge_tells_replies_no_pair_is_kept() -> None:
    votes = {"harmful": "harmful", "benign": "safe"}
    for kind, harm in votes.items():
        untold = verdicts(
            question=f"{harm}/absent {harm}/absent",
            chosen="safe/untold safe/untold",
            rejected=f"{harm}/untold {harm}/untold",
        )
        (reason,) = reasons(pair(kind), untold, PAPER, FakeIdentifier())
        assert reason == ("chosen not a safe refusal" if kind == "harmful" else "chosen not a compliance")


def test_one_judge_alone_decides() -> None:
    alone = PAPER.model_copy(update={"judges": {"lexicon": PhrasebookJudge(kind="lexicon")}})
    votes = verdicts(**GOOD).query("judge == 'lexicon'")
    assert reasons(pair(), votes, alone, FakeIdentifier()) == [None]
    assert reasons(pair(), votes.replace({"reply": {"compliance": "unparsed"}}), alone, FakeIdentifier()) == [
        NOT_REJECTED
    ]


def test_pairs_are_sorted_out_with_their_reasons() -> None:
    pairs = pd.concat([pair(), pair(chosen="de")], ignore_index=True).assign(question_id=["q", "r"])
    votes = pd.concat([verdicts(**GOOD), verdicts(**GOOD).assign(question_id="r")])
    kept, rejected = sort_out(pairs, votes, PAPER, FakeIdentifier())
    assert kept["question_id"].tolist() == ["q"]
    assert list(kept.columns) == list(pairs.columns)
    assert rejected[["question_id", "reason"]].to_numpy().tolist() == [["r", "wrong language"]]
    none, everything = sort_out(pairs[:0], votes, PAPER, FakeIdentifier())
    assert (len(none), len(everything)) == (0, 0)


@pytest.mark.parametrize("item", ["text", "chosen", "rejected"])
def test_the_language_must_be_right_in_all_three(item: str) -> None:
    assert reasons(pair(**{item: "de"}), verdicts(**GOOD), PAPER, FakeIdentifier()) == ["wrong language"]


def test_no_pairs_no_reasons() -> None:
    assert reasons(pair()[:0], verdicts(), PAPER, FakeIdentifier()) == []


def test_judge_pairs_asks_every_judge_about_every_item() -> None:
    panel = Panel({"one": FakeJudge(), "two": FakeJudge()}, {"three": FakeJudge()})
    rows = judge_pairs(pair(chosen="refusal", rejected="unparsed"), panel)
    assert list(rows.columns) == list(VERDICT.columns)
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
    return pd.DataFrame(rows, columns=list(VERDICT.columns))


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
        assert item["verdicts"]["lexicon"] == item["verdicts"]["nearest"] == {"harmful": 25, "safe": 25, "unparsed": 0}


def test_verdicts_are_counted_by_judge() -> None:
    found = agreement(agreeing(["harmful", "unparsed"], ["safe", "safe"], ["unparsed", "unparsed"]), PAPER)["chosen"]
    assert found["verdicts"] == {
        "lexicon": {"harmful": 1, "safe": 0, "unparsed": 1},
        "nearest": {"harmful": 0, "safe": 0, "unparsed": 2},
        "ngrams": {"harmful": 0, "safe": 2, "unparsed": 0},
    }
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
    pairs = pd.DataFrame(
        {
            "kind": ["harmful", "harmful", "harmful", "benign"],
            "lang": ["en", "en", "de", "de"],
            "category": ["S1", "S2", "S1", "S1"],
        }
    )
    assert yields(pairs, pairs.iloc[[0, 2]]) == {
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


def test_the_account_of_the_stage_adds_up() -> None:
    pairs = pd.concat([pair(), pair(chosen="de")], ignore_index=True).assign(question_id=["q", "r"], category="S1")
    votes = pd.concat([verdicts(**GOOD), verdicts(**GOOD).assign(question_id="r")])
    kept, rejected = sort_out(pairs, votes, PAPER, FakeIdentifier())
    account = summary(pairs, kept, rejected, votes, PAPER, ["en"])
    assert (account["rows_in"], account["rows_out"], account["rejected"]) == (2, 1, {"wrong language": 1})
    assert account["acceptance"] == 50.0
    assert list(account["judges"]) == ["question", "chosen", "rejected"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("names", [["lexicon"], ["lexicon", "ngrams", "third"]])
def test_only_a_panel_of_two_has_cohens_kappa(names: list[str]) -> None:
    protocol = PAPER.model_copy(update={"judges": {name: PhrasebookJudge(kind="lexicon") for name in names}})
    votes = agreeing(["harmful", "safe"], ["harmful", "safe"], ["safe", "unparsed"])
    third = votes.query("judge == 'lexicon'").assign(judge="third")
    found = agreement(pd.concat([votes, third]), protocol)["chosen"]
    assert (found["cohens_kappa"], found["confusion"]) == (None, {})
    assert found["fleiss_kappa"] is not None
    assert {name: said["unparsed"] for name, said in found["verdicts"].items()} == {
        "lexicon": 0,
        "nearest": 1,
        "ngrams": 0,
        "third": 0,
    }


def test_another_reading_is_counted_and_is_nobody_to_agree_with() -> None:
    votes = agreeing(["harmful", "safe"], ["harmful", "safe"], ["harmful", "safe"])
    loose = votes.query("judge == 'ngrams'").assign(judge="ngrams (loose)", harm="safe", reply="absent")
    found = agreement(pd.concat([votes, loose]), PAPER)["question"]
    assert (found["cohens_kappa"], found["fleiss_kappa"]) == (1.0, 1.0)
    assert found["verdicts"]["ngrams (loose)"] == {"harmful": 0, "safe": 2, "unparsed": 0}
    good = verdicts(**GOOD)
    also = good.query("judge == 'ngrams'").assign(judge="ngrams (loose)", harm="safe", reply="refusal")
    assert reasons(pair(), pd.concat([good, also]), STRICT, FakeIdentifier()) == [None]
