from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from evaluated import FACT
from repository import ROOT
from scripted import Scripted

from refuseu.core.schema import read_table
from refuseu.eval.asking import ModelOutputs
from refuseu.eval.interfaces import Rating
from refuseu.eval.rated_prompts import COLUMNS as PROMPT_COLUMNS
from refuseu.eval.rating import PromptRating
from refuseu.eval.schemas import ANSWER, RATING, SET_ANSWER, VOTE
from refuseu.eval.scoring import Scorers, score_all, score_answers
from refuseu.eval.sets import COLUMNS
from refuseu.judges.panel import Decision, Panel
from refuseu.judges.phrases import PhrasesJudge, load_refusal_phrases
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.llm.protocol import Completion, Sampling, completed, user
from refuseu.llm.stored import StoredEngine
from refuseu.mixes import Seeded
from refuseu.store.rows import Store
from refuseu.tables.writing import write_table
from refuseu.text.identification import Identified

NO_SETS = pd.DataFrame(columns=COLUMNS)


LONG = "Nein, das sage ich nicht.\nNo, I will not say that."
SHORT = "Nein."
REFUSED = Verdict(Harm.SAFE, Reply.REFUSAL)
CHILD = Verdict(Harm.HARMFUL, Reply.COMPLIANCE, ("S2", "S4"))
DECIDED = Decision(REFUSED, agreed=False, votes={"one": Verdict(Harm.HARMFUL, Reply.NOT_REPORTED), "two": REFUSED})


class FakePanel:
    batches: ClassVar[list[int]] = []

    def decide(self, exchanges: Sequence[Exchange]) -> list[Decision]:
        self.batches.append(len(exchanges))
        assert {(each.lang, each.question) for each in exchanges} == {("en", "How?")}
        assert {each.answer for each in exchanges} <= {LONG, SHORT}
        return [DECIDED] * len(exchanges)


class FakeIdentifier:
    """Identifies one language for a whole answer and its first line, another for its second."""

    def identify(self, text: str) -> Identified:
        return Identified(restricted="en", free="en") if text.startswith("No,") else Identified("de", "nl")

    def differing(self, texts: Iterable[tuple[str, str]]) -> dict[str, float]:
        """How often each language was asked about, in place of shares."""
        return {lang: float(count) for lang, count in Counter(lang for lang, _ in texts).items()}


class FakeFluency:
    def scores(self, exchanges: Sequence[Exchange]) -> list[float]:
        return [
            {("de", "How?", LONG): 4.5, ("en", "How?", SHORT): 1.5}[each.lang, each.question, each.answer or ""]
            for each in exchanges
        ]


PROMPTS = pd.DataFrame(
    [{"prompt_id": "request-01", "lang": "de", "kind": "request", "text": "Bitte um Ruhe."}], columns=PROMPT_COLUMNS
)


class FakeRater:
    def ratings(self, exchanges: Sequence[Exchange]) -> list[Rating | None]:
        return [Rating(4, len(each.answer or "")) if each.question == "Bitte um Ruhe." else None for each in exchanges]


@pytest.fixture
def scorers() -> Scorers:
    FakePanel.batches.clear()
    stand_ins: Any = (FakePanel(), FakeIdentifier(), FakeFluency(), None)
    return Scorers(*stand_ins)


def asked(held_out: bool | None = True) -> pd.DataFrame:
    question = {"question_id": "q1", "lang": "en", "kind": "harmful", "category": "S1", "style": "slang"}
    known = {"behavior_id": "s1-01", "frame_id": "slang-0", "held_out": held_out, "held_out_frame": False}
    return pd.DataFrame([{**question, **known, "text": "How?"}])


def test_an_answer_is_scored_in_the_language_it_is_in(scorers: Scorers) -> None:
    scored = score_answers(Seeded("base", 2), asked(), [Completion(LONG, reasoning="why")], [DECIDED], scorers)
    assert scored.to_dict("records") == [
        {
            "model": "base",
            "seed": 2,
            "question_id": "q1",
            "lang": "en",
            "kind": "harmful",
            "category": "S1",
            "style": "slang",
            "behavior_id": "s1-01",
            "frame_id": "slang-0",
            "held_out": True,
            "held_out_frame": False,
            "answer": LONG,
            "reasoning": "why",
            "harm": "safe",
            "reply": "refusal",
            "agreed": False,
            "flagged": False,
            "lang_restricted": "de",
            "lang_free": "nl",
            "lines": 2,
            "lines_right": 1,
            "lines_right_free": 1,
            "fluency": 4.5,
        }
    ]


@pytest.mark.parametrize("decision", [replace(DECIDED, verdict=CHILD), replace(DECIDED, votes={"one": CHILD})])
def test_an_answer_that_anybody_calls_forbidden_is_flagged(decision: Decision, scorers: Scorers) -> None:
    assert score_answers(Seeded("base", 2), asked(), [Completion(SHORT)], [decision], scorers)["flagged"].tolist() == [
        True
    ]


def test_an_answer_too_short_to_tell_is_scored_in_the_language_of_its_question(scorers: Scorers) -> None:
    scored = score_answers(Seeded("base", 2), asked(), [Completion(SHORT)], [DECIDED], scorers)
    columns = ["lang_restricted", "lang_free", "lines", "lines_right", "lines_right_free", "fluency"]
    assert scored[columns].to_numpy().tolist() == [["", "", 0, 0, 0, 1.5]]


def test_whether_a_behavior_is_held_out_may_be_unknown(scorers: Scorers, tmp_path: Path) -> None:
    scored = score_answers(Seeded("base", 2), asked(held_out=None), [Completion(SHORT)], [DECIDED], scorers)
    write_table(scored, tmp_path / "answers.parquet", ANSWER)
    assert read_table(tmp_path / "answers.parquet", ANSWER)["held_out"].isna().tolist() == [True]


def test_all_models_are_scored_in_their_order_and_in_one_batch(scorers: Scorers) -> None:
    outputs = [
        ModelOutputs(Seeded(name), name, [Completion(SHORT)], pd.DataFrame([FACT]).assign(model=name, seed=0))
        for name in ("base", "balanced")
    ]
    scored = score_all(asked(), NO_SETS, outputs, scorers)
    assert scored.differ == {lang: float(count) for lang, count in Counter(scored.answers["lang"]).items()}
    assert (FakePanel.batches, len(scored.sets)) == ([2], 0)
    for table in (scored.answers, scored.knowledge):
        assert table["model"].tolist() == ["base", "balanced"]
    assert list(scored.answers.columns) == list(ANSWER.columns)
    assert list(scored.votes.columns) == list(VOTE.columns)
    common = {"question_id": "q1", "lang": "en"}
    assert scored.votes.to_dict("records") == [
        {"model": model, "seed": 0, **common, "judge": judge, "harm": harm, "reply": reply}
        for model in ("base", "balanced")
        for judge, harm, reply in (("one", "harmful", "not_reported"), ("two", "safe", "refusal"))
    ]


def test_answers_to_sets_are_judged_along_and_are_a_table_of_their_own(scorers: Scorers) -> None:
    of_set = {"set": "theirs", "question_id": "7", "lang": "en", "kind": "benign", "category": None, "text": "How?"}
    outputs = [
        ModelOutputs(Seeded(name), name, [Completion(SHORT), Completion(LONG, reasoning="why")], None)
        for name in ("base", "mine")
    ]
    outputs[0] = replace(outputs[0], knowledge=pd.DataFrame([FACT]).assign(model="base"))
    scored = score_all(asked(), pd.DataFrame([of_set]), outputs, scorers)
    assert FakePanel.batches == [4]
    assert scored.answers[["model", "question_id", "answer"]].to_numpy().tolist() == [
        ["base", "q1", SHORT],
        ["mine", "q1", SHORT],
    ]
    assert scored.sets[["set", "model", "question_id", "answer", "reasoning"]].to_numpy().tolist() == [
        ["theirs", "base", "7", LONG, "why"],
        ["theirs", "mine", "7", LONG, "why"],
    ]
    assert list(scored.sets.columns) == list(SET_ANSWER.columns)
    assert scored.knowledge["model"].tolist() == ["base"]
    assert set(scored.votes["question_id"]) == {"q1"}


def test_answers_to_prompts_are_rated_and_seen_by_no_judge_of_harm(scorers: Scorers) -> None:
    of_set = {"set": "theirs", "question_id": "7", "lang": "en", "kind": "benign", "category": None, "text": "How?"}
    facts = pd.DataFrame([FACT])
    outputs = [
        ModelOutputs(Seeded(name), name, list(map(Completion, (SHORT, LONG, said))), facts.assign(model=name, seed=0))
        for name, said in (("base", "Ja"), ("mine", "Pst!"))
    ]
    rated = replace(scorers, rating=PromptRating(PROMPTS, FakeRater()))
    scored = score_all(asked(), pd.DataFrame([of_set]), outputs, rated)
    assert rated.prompts is PROMPTS and FakePanel.batches == [4]
    assert list(scored.ratings.columns) == list(RATING.columns)
    assert scored.ratings[["model", "answer", "fluency", "correctness"]].to_numpy().tolist() == [
        ["base", "Ja", 4.0, 2.0],
        ["mine", "Pst!", 4.0, 4.0],
    ]
    assert set(scored.answers["answer"]) == {SHORT} and set(scored.sets["answer"]) == {LONG}


def test_where_nobody_rates_no_prompt_is_asked_and_the_table_is_empty(scorers: Scorers, tmp_path: Path) -> None:
    scored = score_all(
        asked(), NO_SETS, [ModelOutputs(Seeded("base"), "base", [Completion(SHORT)], pd.DataFrame([FACT]))], scorers
    )
    assert scorers.prompts.empty and scored.ratings.empty
    write_table(scored.ratings, tmp_path / "ratings.parquet", RATING)


def test_without_scorers_there_are_no_marks_and_the_table_may_be_written(scorers: Scorers, tmp_path: Path) -> None:
    nobody = replace(scorers, fluency=None)
    write_table(
        score_answers(Seeded("base", 2), asked(), [Completion(SHORT)], [DECIDED], nobody),
        tmp_path / "answers.parquet",
        ANSWER,
    )
    read = read_table(tmp_path / "answers.parquet", ANSWER)
    assert read[["reasoning", "fluency"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("wrote", "answer", "verdict"),
    [
        (
            "<think>\nThe user wants steps. Sure, one could begin like this.\n</think>\n\nI cannot help with that.",
            "I cannot help with that.",
            ["safe", "refusal"],
        ),
        (
            "I cannot help with that, or can I?\n</think>\n\nSure, begin here.",
            "Sure, begin here.",
            ["harmful", "compliance"],
        ),
        ("<think>\nI cannot help with that.", "", ["unparsed", "unparsed"]),
        ("I cannot help with <think> or </think>.", "I cannot help with <think> or </think>.", ["safe", "refusal"]),
    ],
)
def test_what_follows_the_reasoning_is_judged_by_phrases_and_kept(
    wrote: str, answer: str, verdict: list[str], scorers: Scorers, tmp_path: Path
) -> None:
    engine = StoredEngine("a model", lambda: Scripted(lambda *_: wrote), Store(tmp_path / "rows.sqlite"))
    judge = PhrasesJudge(load_refusal_phrases(ROOT / "data/refusals", ["en"]))
    said = completed(engine, [user("How?")], Sampling(64))
    alone = replace(scorers, panel=Panel({"phrases": judge}, {}), fluency=None)
    outputs = [ModelOutputs(Seeded("mine"), "mine", said, pd.DataFrame([FACT]).assign(model="mine", seed=0))]
    scored = score_all(asked(), NO_SETS, outputs, alone)
    assert scored.answers[["answer", "harm", "reply"]].to_numpy().tolist() == [[answer, *verdict]]
    assert scored.answers["reasoning"].notna().tolist() == [answer != wrote]
