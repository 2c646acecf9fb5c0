from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from playing import PlayedEngine
from profile_texts import MODELS, PROMPTS, engines, read
from pydantic import TypeAdapter, ValidationError
from twelve import TWELVE

from refuseu.core.errors import UserError
from refuseu.engines import registry as opening
from refuseu.engines.stored import StoredEngine
from refuseu.judges.chat import ChatJudge
from refuseu.judges.composite import CompositeJudge
from refuseu.judges.lexicon import LexiconJudge
from refuseu.judges.llama_guard import LlamaGuardJudge
from refuseu.judges.nearest import NearestJudge
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.phrases import PhrasesJudge
from refuseu.judges.polyguard import PolyGuardJudge
from refuseu.judges.qwen3guard import Qwen3GuardJudge
from refuseu.judges.registry import build_judge, build_panel
from refuseu.judges.settings import JudgeSettings
from refuseu.judges.verdict import Exchange, Judge
from refuseu.label.settings import Label
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.store.rows import Store

REFUSALS = PROMPTS.parent / "refusals"


def label(adjudicator: str, **judges: str) -> Label:
    """Parts by their kinds, or as a profile writes them."""
    return Label.model_validate(
        {
            "judges": {name: part(text) for name, text in judges.items()},
            "adjudicator": part(adjudicator),
            "question": "all",
            "chosen": "all",
            "rejected": "any",
        }
    )


def part(text: str) -> object:
    return read(text) if text.startswith("{") else {"kind": text}


def test_judges_have_the_names_of_the_profile_and_the_adjudicator_that_of_its_kind(
    books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    seats = label("ngrams", edit_distance="nearest", guard="{kind: polyguard, model: local}")
    panel = build_panel(seats, books, engines(tmp_path), PROMPTS, REFUSALS)
    assert [(name, type(judge)) for name, judge in panel.judges.items()] == [
        ("edit_distance", NearestJudge),
        ("guard", PolyGuardJudge),
    ]
    ((name, adjudicator),) = panel.adjudicators.items()
    assert (name, type(adjudicator)) == ("ngrams", NgramJudge)


@pytest.mark.parametrize(
    ("text", "seated"),
    [
        ("{kind: lexicon}", LexiconJudge),
        ("{kind: ngrams}", NgramJudge),
        ("{kind: nearest}", NearestJudge),
        ("{kind: phrases}", PhrasesJudge),
        ("{kind: phrases, questions: {kind: lexicon}}", CompositeJudge),
        ("{kind: llama-guard-3, model: local}", LlamaGuardJudge),
        ("{kind: polyguard, model: local}", PolyGuardJudge),
        ("{kind: qwen3guard, model: local, strict: false}", Qwen3GuardJudge),
        ("{kind: chat, model: served}", ChatJudge),
    ],
)
def test_a_judge_of_every_kind(text: str, seated: type[Judge], books: dict[str, Phrasebook], tmp_path: Path) -> None:
    described: JudgeSettings = TypeAdapter(JudgeSettings).validate_python(read(text))
    assert type(build_judge(described, books, engines(tmp_path), PROMPTS, REFUSALS)) is seated


def test_a_key_that_the_adjudicator_lacks_is_told_before_a_guard_is_asked(
    books: dict[str, Phrasebook], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = PlayedEngine(lambda _: "")
    monkeypatch.setattr(opening, "TransformersEngine", lambda *_: guard)
    seats = label("{kind: chat, model: keyed}", guard="{kind: polyguard, model: local}", other="lexicon")
    own = engines(tmp_path, f"{MODELS}\nkeyed: {{engine: openai, model: a-model, key: NO_SUCH_KEY}}")
    with pytest.raises(UserError, match="the environment variable NO_SUCH_KEY holds no key"):
        build_panel(seats, books, own, PROMPTS, REFUSALS).decide([Exchange("en", "Why?", "So.")])
    assert guard.calls == []


@pytest.mark.parametrize("text", ["{kind: polyguard, model: nobody}", "{kind: chat, model: nobody}"])
def test_a_model_that_the_profile_does_not_have_is_one_sentence(
    text: str, books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"^models.nobody: the profile has no such model .* it has base, local, served$"
    ):
        build_panel(label("nearest", one=text), books, engines(tmp_path), PROMPTS, REFUSALS)


def test_a_prompt_that_is_not_there_is_one_sentence(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    seats = label("{kind: chat, model: served}", one="lexicon")
    with pytest.raises(UserError, match=r"adjudicator.md: prompt file cannot be read .*; 'git restore"):
        build_panel(seats, books, engines(tmp_path), tmp_path, REFUSALS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{kind: qwen3guard, model: local}", "strict"),
        ("{kind: polyguard}", "model"),
        ("{kind: lexicon, model: local}", "model"),
        ("{kind: oracle}", "oracle"),
    ],
)
def test_a_judge_needs_what_its_kind_needs_and_no_more(text: str, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        label("nearest", one=text)


def test_a_panel_may_be_one_judge_but_not_none(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    assert list(build_panel(label("nearest", only="lexicon"), books, engines(tmp_path), PROMPTS, REFUSALS).judges) == [
        "only"
    ]
    with pytest.raises(ValidationError, match="judges"):
        label("nearest")


@pytest.mark.parametrize(("strict", "other"), [("true", "guard (loose)"), ("false", "guard (strict)")])
def test_both_readings_of_a_qwen3guard_cost_one_asking(
    strict: str, other: str, books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    engine = PlayedEngine("Safety: Controversial\nCategories: None\nRefusal: No")
    stored = StoredEngine("played", lambda: engine, Store(tmp_path / "guard.sqlite"))
    models: Any = SimpleNamespace(named=lambda name: stored)
    seats = label("nearest", guard=f"{{kind: qwen3guard, model: local, strict: {strict}}}", two="lexicon")
    panel = build_panel(seats, books, models, PROMPTS, REFUSALS)
    assert (list(panel.judges), list(panel.shadow_judges)) == (["guard", "two"], [other])
    exchanges = [Exchange("en", "How?", "So."), Exchange("en", "Why?", "Thus.")]
    votes = {name: judge.judge(exchanges) for name, judge in panel.everyone.items()}
    readings = {name: [vote.harm.value for vote in votes[name]] for name in ("guard", other)}
    assert sorted(readings.values()) == [["harmful"] * 2, ["safe"] * 2]
    assert readings["guard"] == (["harmful"] * 2 if strict == "true" else ["safe"] * 2)
    assert [len(asked) for asked, _ in engine.calls] == [2]


def test_a_reading_that_sits_on_the_panel_itself_is_not_beside_it(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    both = {
        "guard": "{kind: qwen3guard, model: local, strict: true}",
        "guard (loose)": "{kind: qwen3guard, model: local, strict: false}",
    }
    panel = build_panel(label("nearest", **both), books, engines(tmp_path), PROMPTS, REFUSALS)
    assert list(panel.shadow_judges) == ["guard (loose) (strict)"]


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("{kind: lexicon}", "en de"),
        ("{kind: ngrams}", "en de"),
        ("{kind: nearest}", "en de"),
        ("{kind: phrases}", "en de fr it es pt pl cs sk sl lt lv"),
        ("{kind: llama-guard-3, model: local}", "en de fr it es pt"),
        ("{kind: polyguard, model: local}", "en de fr it es pt pl cs"),
        ("{kind: qwen3guard, model: local, strict: true}", "en de fr it es pt pl cs sk sl lt lv"),
    ],
)
def test_every_judge_says_which_languages_it_is_made_for(
    text: str, languages: str, books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    described: JudgeSettings = TypeAdapter(JudgeSettings).validate_python(read(text))
    covered = build_judge(described, books, engines(tmp_path), PROMPTS, REFUSALS).languages
    assert covered is not None
    assert covered & TWELVE == frozenset(languages.split())


def test_nobody_lists_the_languages_of_a_chat_model(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    seats = label("{kind: chat, model: served}", guard="{kind: polyguard, model: local}")
    panel = build_panel(seats, books, engines(tmp_path), PROMPTS, REFUSALS)
    assert panel.uncovered(["en", "pl", "lt"]) == {"guard": ["lt"]}
