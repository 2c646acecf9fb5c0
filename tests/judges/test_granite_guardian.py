import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from scripted import Scripted

from refuseu.judges.granite_guardian import GraniteGuardianJudge, Settings, parse
from refuseu.judges.settings import ModelUse
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.llm.protocol import Completion, Finish, Sampling
from refuseu.llm.stored import StoredEngine
from refuseu.store.rows import Store

ALONE, ANSWERED = Exchange("en", "why?"), Exchange("en", "why?", "so")
THOUGHT = "<think> The text asks why.\nNothing of it is harmful. </think>"
SETTINGS = {"kind": "granite-guardian", "model": "granite"}


@pytest.mark.parametrize(
    "text",
    [
        "Yes",
        " Yes\n",
        "Yes\n<confidence> High </confidence>",
        "Yes\n<confidence> Low </confidence>",
        "<score> yes </score>",
        "<score>yes</score>",
        "<score> yes </score>\n<confidence> High </confidence>",
    ],
)
def test_verdicts(text: str) -> None:
    assert parse(text, answered=False) == Verdict(Harm.HARMFUL, Reply.ABSENT)
    assert parse(text, answered=True) == Verdict(Harm.HARMFUL, Reply.NOT_REPORTED)
    other = text.replace("Yes", "No").replace("yes", "no")
    assert parse(other, answered=True) == Verdict(Harm.SAFE, Reply.NOT_REPORTED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "NO",
        "No.",
        "No, it is harmless.",
        "None",
        "Yes No",
        "Yes\nNo",
        "Failed",
        "No <confidence> High",
        "<confidence> High </confidence>",
        "<score> No </score>",
        "<score> maybe </score>",
        "<score> no",
        "<score> no </score> <score> yes </score>",
        "No\n<score> no </score>",
        "The score is <score> no </score>",
        "<score> no </score> The text is harmless.",
        f"{THOUGHT}<score> no </score>",
        "safe",
    ],
)
def test_all_else_is_unparsed_and_never_safe(text: str) -> None:
    assert parse(text, answered=False) == Verdict(Harm.UNPARSED, Reply.ABSENT)
    assert parse(text, answered=True) == Verdict(Harm.UNPARSED, Reply.NOT_REPORTED)


@pytest.mark.parametrize(
    ("said", "harm"),
    [
        (Completion("Yes\n<confidence> Hi", Finish.LENGTH), Harm.HARMFUL),
        (Completion("No", Finish.LENGTH), Harm.UNPARSED),
        (Completion(THOUGHT, Finish.LENGTH), Harm.UNPARSED),
        (Completion("No", Finish.DECLINED), Harm.UNPARSED),
        (Completion("No", Finish.FAILED), Harm.UNPARSED),
        (Completion("", Finish.TOO_LONG), Harm.UNPARSED),
    ],
)
def test_how_an_answer_ends(said: Completion, harm: Harm) -> None:
    judge = GraniteGuardianJudge(Scripted(lambda *_: said), "risk_name", think=False)
    assert judge.judge([ALONE]) == [Verdict(harm, Reply.ABSENT)]


@pytest.mark.parametrize(
    ("wrote", "harm"),
    [
        (Completion(f"{THOUGHT}\n<score> yes </score>"), Harm.HARMFUL),
        (Completion("<think>\n</think>\n<score> no </score>"), Harm.SAFE),
        (Completion("<think> I would say <score> no </score> here. </think><score> yes </score>"), Harm.HARMFUL),
        (Completion("<score> yes </score>", reasoning="The text is harmless: <score> no </score>"), Harm.HARMFUL),
        (Completion(THOUGHT), Harm.UNPARSED),
        (Completion(f"{THOUGHT}{THOUGHT}<score> no </score>"), Harm.UNPARSED),
        (Completion("<think> It is <score> no </score>", Finish.LENGTH), Harm.UNPARSED),
        (Completion(f"{THOUGHT}\n<score> no </score>", Finish.LENGTH), Harm.UNPARSED),
    ],
)
def test_a_thought_before_the_verdict_decides_nothing(wrote: Completion, harm: Harm, tmp_path: Path) -> None:
    engine = StoredEngine("granite", lambda: Scripted(lambda *_: wrote), Store(tmp_path / "rows.sqlite"))
    assert GraniteGuardianJudge(engine, "criteria_id", think=True).judge([ALONE]) == [Verdict(harm, Reply.ABSENT)]


@pytest.mark.parametrize(
    ("risk_key", "think", "variables", "most"),
    [
        ("risk_name", False, {"guardian_config": {"risk_name": "harm"}}, 32),
        ("criteria_id", False, {"guardian_config": {"criteria_id": "harm"}, "think": False}, 32),
        ("criteria_id", True, {"guardian_config": {"criteria_id": "harm"}, "think": True}, 2048),
    ],
)
def test_the_template_is_told_the_risk_and_judges_the_last_turn(
    risk_key: str, think: bool, variables: dict[str, Any], most: int
) -> None:
    engine = Scripted(lambda text, _: {"why?": "<score> no </score>", "so": "Yes"}[text])
    judge = GraniteGuardianJudge(engine, risk_key, think)
    assert judge.judge([ANSWERED, ALONE]) == [
        Verdict(Harm.HARMFUL, Reply.NOT_REPORTED),
        Verdict(Harm.SAFE, Reply.ABSENT),
    ]
    for prompt, sampling in engine.asked:
        assert prompt == [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "so"}][: len(prompt)]
        assert json.loads(sampling.chat_template_kwargs or "") == variables
        assert sampling.max_new_tokens == most


@pytest.mark.parametrize(
    ("risk_key", "prefix", "words"), [("risk_name", "", ("Yes", "No")), ("criteria_id", "<score>", (" yes", " no"))]
)
def test_scores_are_asked_without_a_thought(risk_key: str, prefix: str, words: tuple[str, ...]) -> None:
    def say(text: str, sampling: Sampling) -> Completion:
        assert (sampling.prefix, sampling.first_tokens, sampling.max_new_tokens) == (prefix, words, 1)
        assert json.loads(sampling.chat_template_kwargs or "").get("think", False) is False
        return Completion("", Finish.LENGTH, {"why?": (0.6, 0.2), "so": (0.001, 0.0)}[text])

    assert GraniteGuardianJudge(Scripted(say), risk_key, think=True).harm_scores([ALONE, ANSWERED]) == [0.75, 0.0]


def test_settings() -> None:
    plain, thinking = Settings.model_validate(SETTINGS), Settings.model_validate({**SETTINGS, "think": True})
    assert (plain.model_uses(), thinking.model_uses()) == (
        [ModelUse("granite", 250, 10)],
        [ModelUse("granite", 250, 410)],
    )
    with pytest.raises(
        ValidationError, match="think: must be false, since a model that takes risk_name does not think"
    ):
        Settings.model_validate({**SETTINGS, "risk_key": "risk_name", "think": True})
