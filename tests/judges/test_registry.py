"""Every judge of the registry is whole: what is missing of a new one is found here or by mypy, and never by a run."""

import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from profile_texts import resources
from pydantic import BaseModel, ValidationError
from repository import ROOT
from scripted import Scripted

from refuseu.core.faults import explained
from refuseu.experiment import LANGUAGES
from refuseu.judges.registry import KINDS, AnyGuard, AnyJudge, judge_settings, settings_class
from refuseu.judges.settings import GuardSettings, JudgeSettings, ModelJudgeSettings, ModelUse
from refuseu.judges.verdict import Exchange, Harm, Reply
from refuseu.phrasebook.phrasebook import Phrasebook


class Profile(BaseModel):
    judges: dict[str, AnyJudge] = {}
    scorer: AnyGuard | None = None


def entry(kind: str) -> dict[str, Any]:
    """The least that a profile writes of a judge."""
    values = {bool: True, str: "local"}
    fields = settings_class(kind).model_fields
    needed = {name: field for name, field in fields.items() if field.is_required() and name != "kind"}
    return {"kind": kind, **{name: values.get(field.annotation, name) for name, field in needed.items()}}  # type: ignore[arg-type]


def faults(content: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as error:
        Profile.model_validate(content)
    return explained(error.value, content)


@pytest.mark.parametrize("kind", KINDS)
def test_the_settings_of_a_kind_are_final_and_whole(kind: str) -> None:
    settings = settings_class(kind)
    assert issubclass(settings, JudgeSettings)
    assert getattr(settings, "__final__", False), "mypy finds a missing build() of final classes only"
    assert not inspect.isabstract(settings)
    assert get_args(settings.model_fields["kind"].annotation) == (kind,)
    if issubclass(settings, ModelJudgeSettings):
        assert settings.prompt_tokens > settings.verdict_tokens > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_builds_the_judge_of_its_own_file(kind: str, books: dict[str, Phrasebook], tmp_path: Path) -> None:
    settings = judge_settings(entry(kind))
    judge = settings.build(resources(tmp_path, books))
    assert type(judge).__module__ == type(settings).__module__
    assert judge.languages is None or judge.languages <= set(LANGUAGES)
    assert hasattr(judge, "harm_scores") or not isinstance(settings, GuardSettings)


def asked_in_vain(*_: object) -> str:
    raise AssertionError("a model is asked about an answer that is not there")


@pytest.mark.parametrize(
    "question", ["How can I bend the rules of the club?", "How can I read the rules of the club?", "?"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_was_cut_before_it_began_is_never_safe_and_no_refusal(
    kind: str, question: str, books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    """A model that reasoned until its tokens were spent has not answered, whether the judge finds the question harmful or not."""
    given = replace(resources(tmp_path, books), engine=lambda _: Scripted(asked_in_vain))
    others = {"questions": {"kind": "lexicon"}} if kind == "phrases" else {}
    judge: Any = judge_settings(entry(kind) | others).build(given)
    for blank in ("", " \n"):
        (verdict,) = judge.judge([Exchange("en", question, blank)])
        assert verdict.harm is Harm.UNPARSED
        assert verdict.reply in (Reply.UNPARSED, Reply.NOT_REPORTED)
        if hasattr(judge, "harm_scores"):
            assert judge.harm_scores([Exchange("en", question, blank)]) == [0.0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_its_tests_and_its_row_of_the_docs(kind: str) -> None:
    name = settings_class(kind).__module__.rpartition(".")[2]
    assert (ROOT / f"tests/judges/test_{name}.py").is_file()
    assert f"\n| `{kind}` |" in (ROOT / "docs/judges.md").read_text(encoding="utf-8")


def test_a_judge_that_is_a_model_says_what_it_costs() -> None:
    assert judge_settings({"kind": "llama-guard-3", "model": "guard"}).model_uses() == [ModelUse("guard", 230, 6)]
    assert judge_settings({"kind": "lexicon"}).model_uses() == []


def test_an_unknown_kind_is_told_which_there_are() -> None:
    known = ", ".join(KINDS)
    assert faults({"judges": {"one": {"kind": "oracle"}}}) == f"judges.one: kind 'oracle' is none of {known}"
    assert faults({"judges": {"one": {"kind": ["chat"]}}}) == f"judges.one: kind ['chat'] is none of {known}"


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ({}, ["judges.one"]),
        ("lexicon", ["judges.one"]),
        ({"kind": "polyguard"}, ["judges.one.model"]),
        ({"kind": "lexicon", "model": "local"}, ["judges.one.model"]),
        (
            {"kind": "qwen3guard", "model": 3, "size": "8B"},
            ["judges.one.model", "judges.one.strict", "judges.one.size"],
        ),
        ({"kind": "phrases", "questions": {"kind": "chat"}}, ["judges.one.questions.model"]),
        ({"kind": "phrases", "questions": {"kind": "oracle"}}, ["judges.one.questions"]),
    ],
)
def test_what_is_wrong_is_told_by_its_key_in_the_profile(written: Any, keys: list[str]) -> None:
    said = faults({"judges": {"one": written}})
    assert re.findall(r"(?:^|; )([\w.]+): ", said) == keys


def test_only_a_judge_that_gives_the_probability_of_harm_may_score() -> None:
    profile = Profile.model_validate({"scorer": {"kind": "polyguard", "model": "local"}})
    assert isinstance(profile.scorer, GuardSettings)
    said = faults({"scorer": {"kind": "chat", "model": "local"}})
    assert said.startswith(
        "scorer: kind 'chat' gives no probability of harm; guards that do are llama-guard-3, polyguard"
    )
    assert faults({"scorer": {"kind": "oracle"}}).startswith("scorer: kind 'oracle' is none of")


def test_settings_are_written_with_all_that_they_hold() -> None:
    content = {"judges": {"one": {"kind": "qwen3guard", "model": "local", "strict": True}}}
    assert Profile.model_validate(content).model_dump(exclude={"scorer"}) == content
