from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from refuseu.judges.lexicon import Settings as Lexicon
from refuseu.judges.nearest import Settings as Nearest
from refuseu.judges.ngrams import Settings as Ngrams
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.label import labelling
from refuseu.label.labelling import (
    HARM,
    REPLY,
    VERDICT,
    agreement,
    confusion,
    judge_pairs,
    summary,
    verdict_rows,
    yields,
)
from refuseu.label.protocol import ITEMS, Flags, Judged, Votes, in_their_language, judged, sort_out, without_answer
from refuseu.label.settings import Label
from refuseu.tables.schemas import LABELLED, PAIR
from refuseu.text.identification import Identifier

PAPER = Label(
    judges={"lexicon": Lexicon(kind="lexicon"), "ngrams": Ngrams(kind="ngrams")},
    adjudicator=Nearest(kind="nearest"),
    question="all",
    chosen="all",
    rejected="any",
)
LENIENT = PAPER.model_copy(update={"question": "any", "chosen": "any"})
STRICT = PAPER.model_copy(update={"rejected": "all"})


class FakeIdentifier(Identifier):
    """A text's language is its first two letters."""

    def __init__(self) -> None:
        pass

    def restricted(self, text: str) -> str:
        return text[:2]


class FakeJudge:
    """An exchange with an answer is safe, a bare question harmful; it counts what it is asked at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        self.asked.append(len(exchanges))
        return [
            Verdict(Harm.HARMFUL, Reply.ABSENT) if each.answer is None else Verdict(Harm.SAFE, Reply(each.answer))
            for each in exchanges
        ]


def pair(kind: str = "harmful", text: str = "en", chosen: str = "en", rejected: str = "en") -> pd.DataFrame:
    row = {"question_id": "q", "lang": "en", "kind": kind, "text": text, "chosen": chosen, "rejected": rejected}
    return pd.DataFrame([row])


def table(votes: Sequence[str]) -> pd.DataFrame:
    """Each as harm/reply, or as harm/reply/categories."""
    harms, replies, categories = zip(*((*vote.split("/"), None)[:3] for vote in votes), strict=True)
    return pd.DataFrame(
        {
            "harm": pd.Categorical(harms, dtype=HARM),
            "reply": pd.Categorical(replies, dtype=REPLY),
            "categories": pd.Series(categories, dtype=object),
        }
    )


def of_judges(protocol: Label, **items: str) -> Votes:
    """Per item the votes of the protocol's judges on one pair, each as harm/reply."""
    return {
        item: {judge: table([vote]) for judge, vote in zip(protocol.judges, votes.split(), strict=True)}
        for item, votes in items.items()
    }


def twice(votes: Votes) -> Votes:
    """The same votes on two pairs."""
    return {
        item: {judge: pd.concat([said, said], ignore_index=True) for judge, said in by_judge.items()}
        for item, by_judge in votes.items()
    }


def why(votes: Votes, protocol: Label = PAPER, kind: str = "harmful", right: bool = True) -> str | None:
    """The reason against one pair."""
    (reason,) = judged(pair(kind), language(right), votes, protocol).reason.tolist()
    return None if pd.isna(reason) else str(reason)


def language(*right: bool, wrong: str = "") -> dict[str, Flags]:
    """Whether each pair is in its language, alike for all items; the item ``wrong`` never is."""
    return {item: np.array(right) & (item != wrong) for item in ITEMS}


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
    assert why(of_judges(protocol, **{**GOOD, **changed}), protocol) == expected


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
    assert why(of_judges(PAPER, **{**BENIGN, **changed}), kind="benign") == expected


GUARD = PAPER.model_copy(update={"judges": {"guard": Ngrams(kind="ngrams"), "teller": Lexicon(kind="lexicon")}})
EITHER = GUARD.model_copy(update={"chosen": "any"})


@pytest.mark.parametrize(
    ("changed", "protocol", "expected"),
    [
        ({}, GUARD, None),
        ({"chosen": "harmful/not_reported safe/refusal"}, GUARD, NOT_CHOSEN),
        ({"chosen": "safe/not_reported safe/compliance"}, GUARD, NOT_CHOSEN),
        ({"chosen": "unparsed/not_reported safe/refusal"}, GUARD, NOT_CHOSEN),
        ({"chosen": "safe/not_reported safe/not_reported"}, GUARD, NOT_CHOSEN),
        ({"chosen": "harmful/not_reported safe/refusal"}, EITHER, None),
        ({"chosen": "safe/not_reported unparsed/refusal"}, EITHER, None),
        ({"chosen": "safe/not_reported harmful/compliance"}, EITHER, NOT_CHOSEN),
        ({"chosen": "safe/not_reported unparsed/unparsed"}, EITHER, NOT_CHOSEN),
        ({"rejected": "harmful/not_reported safe/compliance"}, GUARD, None),
        ({"rejected": "safe/not_reported harmful/compliance"}, GUARD, None),
        ({"rejected": "safe/not_reported safe/compliance"}, GUARD, NOT_REJECTED),
        ({"rejected": "unparsed/not_reported safe/compliance"}, GUARD, NOT_REJECTED),
        ({"rejected": "harmful/not_reported safe/refusal"}, GUARD, NOT_REJECTED),
        ({"rejected": "harmful/not_reported unparsed/unparsed"}, GUARD, NOT_REJECTED),
        ({"rejected": "harmful/not_reported harmful/not_reported"}, GUARD, NOT_REJECTED),
    ],
)
def test_a_judge_that_tells_no_replies_votes_on_harm_alone(
    changed: dict[str, str], protocol: Label, expected: str | None
) -> None:
    good = {
        "question": "harmful/absent harmful/absent",
        "chosen": "safe/not_reported safe/refusal",
        "rejected": "harmful/not_reported harmful/compliance",
    }
    assert why(of_judges(protocol, **{**good, **changed}), protocol) == expected


def test_where_no_judge_tells_replies_no_pair_is_kept() -> None:
    votes = {"harmful": "harmful", "benign": "safe"}
    for kind, harm in votes.items():
        not_reported = of_judges(
            PAPER,
            question=f"{harm}/absent {harm}/absent",
            chosen="safe/not_reported safe/not_reported",
            rejected=f"{harm}/not_reported {harm}/not_reported",
        )
        assert why(not_reported, kind=kind) == (
            "chosen not a safe refusal" if kind == "harmful" else "chosen not a compliance"
        )


def test_one_judge_alone_decides() -> None:
    alone = PAPER.model_copy(update={"judges": {"lexicon": Lexicon(kind="lexicon")}})
    good = {"question": "harmful/absent", "chosen": "safe/refusal", "rejected": "harmful/compliance"}
    assert why(of_judges(alone, **good), alone) is None
    assert why(of_judges(alone, **good | {"rejected": "harmful/unparsed"}), alone) == NOT_REJECTED


def test_the_wrong_language_is_named_first() -> None:
    assert why(of_judges(PAPER, **GOOD), right=False) == "wrong language"
    assert why(of_judges(PAPER, **GOOD | {"question": "safe/absent safe/absent"}), right=False) == "wrong language"


def found(changed: dict[str, str], kind: str = "harmful", wrong: str = "") -> Judged:
    """What the paper's protocol says of one pair that differs from a good one in ``changed``."""
    good = GOOD if kind == "harmful" else BENIGN
    return judged(pair(kind), language(True, wrong=wrong), of_judges(PAPER, **good | changed), PAPER)


@pytest.mark.parametrize("kind", ["harmful", "benign"])
def test_no_answer_decides_whether_a_question_is_kept(kind: str) -> None:
    """So the test, which is drawn from these questions, has those that the base refuses as well."""
    for harm in ("harmful", "safe", "unparsed"):
        for reply in ("refusal", "compliance", "unparsed"):
            vote = f"{harm}/{reply} {harm}/{reply}"
            for item in ("chosen", "rejected"):
                assert found({item: vote}, kind).kept.tolist() == [True], (item, vote)
    for item in ("chosen", "rejected"):
        of_other_language = found({}, kind, wrong=item)
        assert (of_other_language.kept.tolist(), of_other_language.accepted.tolist()) == ([True], [False])
    for bad in (found({"question": "unparsed/absent unparsed/absent"}, kind), found({}, kind, wrong="question")):
        assert (bad.kept.tolist(), bad.accepted.tolist()) == ([False], [False])


@pytest.mark.parametrize(
    ("kind", "changed", "complied"),
    [
        ("harmful", {}, True),
        ("harmful", {"rejected": "safe/refusal safe/refusal"}, False),
        ("harmful", {"chosen": "harmful/compliance harmful/compliance"}, True),
        ("benign", {}, True),
        ("benign", {"chosen": "safe/refusal safe/refusal"}, False),
    ],
)
def test_what_the_un_aligned_model_did_is_told_whatever_its_language(
    kind: str, changed: dict[str, str], complied: bool
) -> None:
    for wrong in ("", "chosen", "rejected"):
        assert found(changed, kind, wrong).complied.tolist() == [complied]


def test_pairs_are_sorted_out_with_their_reasons() -> None:
    pairs = pd.concat([pair(), pair(), pair()], ignore_index=True).assign(question_id=["q", "r", "s"])
    votes = {
        item: {judge: pd.concat([said] * 3, ignore_index=True) for judge, said in by_judge.items()}
        for item, by_judge in of_judges(PAPER, **GOOD).items()
    }
    of_answers = {**language(True, False, True), "rejected": np.array([True, False, False])}
    kept, not_accepted = sort_out(pairs, judged(pairs, of_answers, votes, PAPER))
    assert kept[["question_id", "accepted", "complied"]].to_numpy().tolist() == [["q", True, True], ["s", False, True]]
    assert set(kept.columns) - set(pairs.columns) == set(LABELLED.columns) - set(PAIR.columns)
    assert not_accepted[["question_id", "reason"]].to_numpy().tolist() == [
        ["r", "wrong language"],
        ["s", "wrong language"],
    ]


@pytest.mark.parametrize("kind", ["harmful", "benign"])
@pytest.mark.parametrize("item", ["question", "chosen", "rejected"])
@pytest.mark.parametrize(("named", "flagged"), [("S4", True), ("S1,S4", True), ("S14", False), ("S1,S12", False)])
def test_what_a_single_judge_flags_s4_is_never_kept(kind: str, item: str, named: str, flagged: bool) -> None:
    votes = of_judges(PAPER, **(GOOD if kind == "harmful" else BENIGN))
    # Not a judge of the protocol, but the adjudicator or another reading: whoever names it is heard.
    votes[item]["shadow"] = table([f"unparsed/unparsed/{named}"])
    assert why(votes, kind=kind) == ("flagged S4 by a judge" if flagged else None)
    assert why(votes, kind=kind, right=False) == ("flagged S4 by a judge" if flagged else "wrong language")
    # A question that is flagged is not even tested; one whose answer is flagged may be, without its answers.
    of_pair = judged(pair(kind), language(True), votes, PAPER)
    assert of_pair.accepted.tolist() == [not flagged]
    assert of_pair.kept.tolist() == [not flagged or item != "question"]


def test_the_categories_that_judges_name_are_kept() -> None:
    class Naming(FakeJudge):
        def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
            named = {None: ("S2", "S4"), "refusal": ()}
            return [Verdict(Harm.HARMFUL, Reply.ABSENT, named.get(each.answer, ("S1",))) for each in exchanges]

    votes = judge_pairs([pair(chosen="refusal")], 1, {"guard": Naming()})
    assert [votes[item]["guard"]["categories"].tolist() for item in votes] == [["S2,S4"], [None], ["S1"]]


def test_each_kind_has_its_own_protocol() -> None:
    pairs = pd.concat([pair(), pair("benign")], ignore_index=True)
    reason = judged(pairs, language(True, True), twice(of_judges(PAPER, **BENIGN)), PAPER).reason
    assert reason.where(reason.notna(), None).tolist() == [NOT_HARMFUL, None]


@pytest.mark.parametrize("item", ["text", "chosen", "rejected"])
def test_the_language_of_each_text_is_looked_at(item: str) -> None:
    right = in_their_language([pair(), pair(**{item: "de"})], FakeIdentifier())
    assert {ITEMS[name]: flags.tolist() for name, flags in right.items()} == {
        name: [True, name != item] for name in ITEMS.values()
    }


def test_judges_are_asked_batch_by_batch_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = FakeJudge(), FakeJudge()
    batches = [pair(chosen="refusal", rejected="unparsed"), *[pair(chosen="refusal", rejected="compliance")] * 2]
    votes = judge_pairs([batches[0], pd.concat(batches[1:])], 3, {"one": one, "two": two})
    assert one.asked == two.asked == [1, 1, 1, 2, 2, 2]
    assert votes["rejected"]["two"]["reply"].tolist() == ["unparsed", "compliance", "compliance"]
    assert votes["question"]["one"]["harm"].tolist() == ["harmful"] * 3
    assert {said.index.tolist()[-1] for by_judge in votes.values() for said in by_judge.values()} == {2}
    assert "label: 18 of 18 verdicts" in capsys.readouterr().err


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_rows_of_verdicts_have_every_judge_on_every_item(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "BATCH", batch)
    pairs = pd.concat([pair(), pair(), pair()]).assign(question_id=["q", "r", "s"], lang=["en", "de", "fr"])
    votes = {
        "question": {"one": table(["harmful/absent", "safe/absent", "unparsed/absent"])},
        "chosen": {"one": table(["safe/refusal"] * 3), "two": table(["safe/not_reported/S1,S2"] * 3)},
    }
    rows = pd.concat(verdict_rows(pairs, votes)).sort_values(list(VERDICT.key))
    assert set(rows.columns) == set(VERDICT.columns)
    assert rows[list(VERDICT.columns)].to_numpy().tolist() == [
        row
        for question_id, lang, harm in (("q", "en", "harmful"), ("r", "de", "safe"), ("s", "fr", "unparsed"))
        for row in (
            [question_id, lang, "chosen", "one", "safe", "refusal", None],
            [question_id, lang, "chosen", "two", "safe", "not_reported", "S1,S2"],
            [question_id, lang, "question", "one", harm, "absent", None],
        )
    ]


def agreeing(first: Sequence[str], second: Sequence[str], third: Sequence[str]) -> Votes:
    """The same verdicts of the three judges on each item."""
    harms = {"lexicon": first, "ngrams": second, "nearest": third}
    tables = {judge: table([f"{harm}/absent" for harm in votes]) for judge, votes in harms.items()}
    return dict.fromkeys(("question", "chosen", "rejected"), tables)


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
        # by chance (80 / 150 * 70 / 150 + 70 / 150 * 80 / 150) / 2, for three verdicts that there may be
        assert item["raw_agreement"] == pytest.approx(80.0)
        assert item["gwets_ac1"] == pytest.approx((0.8 - 0.248889) / 0.751111, abs=1e-5)
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
    assert (found["raw_agreement"], found["gwets_ac1"]) == (100.0, 1.0)
    assert found["confusion"]["safe"]["safe"] == 2


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
    assert yields(pairs, pd.Series([True, False, True, False])) == {
        "acceptance": 50.0,
        "acceptance_by_kind": {"benign": 0.0, "harmful": pytest.approx(200 / 3)},
        "acceptance_by_lang": {"de": 50.0, "en": 50.0},
        "acceptance_by_category": {"S1": pytest.approx(200 / 3), "S2": 0.0},
    }


def with_adjudicator(votes: Votes, vote: str) -> Votes:
    return {item: {**by_judge, "nearest": table([vote])} for item, by_judge in votes.items()}


def test_the_adjudicator_has_no_vote() -> None:
    assert why(with_adjudicator(of_judges(PAPER, **GOOD), "safe/unparsed"), STRICT) is None
    refused = of_judges(PAPER, **{**GOOD, "rejected": "safe/refusal safe/refusal"})
    assert why(with_adjudicator(refused, "harmful/compliance")) == NOT_REJECTED


def test_an_adjudicator_that_is_dear_need_not_judge_all_pairs() -> None:
    assert PAPER.voters == ("lexicon", "ngrams", "nearest")
    assert PAPER.model_copy(update={"adjudicator_labels": False}).voters == ("lexicon", "ngrams")
    assert PAPER.model_copy(update={"adjudicator": None}).voters == ("lexicon", "ngrams")


def test_complying_with_what_the_judge_holds_for_harmless_is_not_harmful() -> None:
    assert why(of_judges(PAPER, **{**GOOD, "rejected": "safe/compliance safe/compliance"})) == NOT_REJECTED


def test_the_account_of_the_stage_adds_up() -> None:
    pairs = pd.concat([pair(), pair()], ignore_index=True).assign(question_id=["q", "r"], category="S1")
    votes = twice(of_judges(PAPER, **GOOD))
    account = summary(pairs, judged(pairs, language(True, False), votes, PAPER), votes, PAPER, ["en"])
    assert (account["rows_in"], account["rows_out"], account["rejected"]) == (2, 1, {"wrong language": 1})
    assert (account["accepted"], account["acceptance"], account["not_accepted"]) == (1, 50.0, {})
    assert list(account["judges"]) == ["question", "chosen", "rejected"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("names", [["lexicon"], ["lexicon", "ngrams", "third"]])
def test_only_a_panel_of_two_has_cohens_kappa(names: list[str]) -> None:
    protocol = PAPER.model_copy(update={"judges": {name: Lexicon(kind="lexicon") for name in names}})
    votes = agreeing(["harmful", "safe"], ["harmful", "safe"], ["safe", "unparsed"])
    third = {item: {**by_judge, "third": by_judge["lexicon"]} for item, by_judge in votes.items()}
    found = agreement(third, protocol)["chosen"]
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
    loose = table(["safe/absent", "safe/absent"])
    found = agreement({item: {**said, "ngrams (loose)": loose} for item, said in votes.items()}, PAPER)["question"]
    assert (found["cohens_kappa"], found["fleiss_kappa"]) == (1.0, 1.0)
    assert found["verdicts"]["ngrams (loose)"] == {"harmful": 0, "safe": 2, "unparsed": 0}
    good = of_judges(PAPER, **GOOD)
    also = {item: {**said, "ngrams (loose)": table(["safe/refusal"])} for item, said in good.items()}
    assert why(also, STRICT) is None


def test_the_yield_of_every_filter_is_counted_by_kind_and_language() -> None:
    """Six harmful pairs: one falls at each filter in turn, and one is accepted; the last two filters are answers' alone."""
    changed = [
        {"question": "safe/absent safe/absent"},
        {},  # its question is in another language
        {"chosen": "safe/compliance safe/compliance"},
        {"rejected": "safe/refusal safe/refusal"},
        {"chosen": "safe/refusal/S4 safe/refusal"},
        {},
    ]
    pairs = pd.concat([pair()] * 6, ignore_index=True).assign(question_id=list("abcdef"), category="S1")
    each = [of_judges(PAPER, **GOOD | change) for change in changed]
    votes = {
        item: {judge: pd.concat([vote[item][judge] for vote in each], ignore_index=True) for judge in PAPER.judges}
        for item in ITEMS
    }
    right = {**language(*[True] * 6), "question": np.arange(6) != 1}
    account = summary(pairs, judged(pairs, right, votes, PAPER), votes, PAPER, ["en", "de"])
    assert account["filters"] == {
        "harmful": {
            "en": {"asked": 6, "question": 5, "language": 4, "chosen": 3, "rejected": 2, "accepted": 1},
            "de": dict.fromkeys(("asked", "question", "language", "chosen", "rejected", "accepted"), 0),
        },
        "benign": {
            lang: dict.fromkeys(("asked", "question", "language", "chosen", "rejected", "accepted"), 0)
            for lang in ("en", "de")
        },
    }
    assert (account["rows_out"], account["accepted"]) == (4, 1)
    assert account["rejected"] == {"question not harmful": 1, "wrong language": 1}
    assert account["not_accepted"] == {
        "chosen not a safe refusal": 1,
        "flagged S4 by a judge": 1,
        "rejected not a harmful compliance": 1,
    }
    # Over all that were asked, whatever the filters say of the question and of the chosen answer.
    assert account["complied"] == {"en": pytest.approx(500 / 6), "de": None}


def test_a_question_that_was_not_answered_is_kept_and_its_pair_is_not() -> None:
    batches = [pair(), pair(rejected=""), pair(chosen="")]
    pairs = pd.concat(batches, ignore_index=True).assign(question_id=["q", "r", "s"])
    votes = {
        item: {judge: pd.concat([said] * 3, ignore_index=True) for judge, said in by_judge.items()}
        for item, by_judge in of_judges(PAPER, **GOOD).items()
    }
    right = in_their_language(batches, FakeIdentifier())
    assert (right["chosen"].tolist(), right["rejected"].tolist()) == ([True, True, False], [True, False, True])
    result = judged(pairs, right, votes, PAPER, without_answer(batches))
    assert (result.kept.tolist(), result.accepted.tolist()) == ([True] * 3, [True, False, False])
    assert result.reason.tolist()[1:] == ["empty answer"] * 2
    assert without_answer([]).tolist() == []
