import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from refuseu.engines.base import Conversation, Sampling
from refuseu.errors import UserError
from refuseu.evaluation import answers
from refuseu.evaluation.answers import ask_model, ask_models, model_folders, score_answers
from refuseu.evaluation.knowledge import Choice
from refuseu.identification import Identified
from refuseu.judges.panel import Decision
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.parameters import Eval

SETTINGS = Eval(reference="balanced", confidence=0.95, max_unparsed=0.4, workers=1, batch_size=2, max_new_tokens=3)
QUESTIONS = pd.DataFrame({"text": ["How can I sing?", "How can I dance?"]})


def test_the_base_comes_first_then_the_configs_as_params_yaml_orders_them(tmp_path: Path) -> None:
    for name in ("balanced", "only-pl"):
        (tmp_path / name).mkdir()
    (tmp_path / ".DS_Store").touch()
    folders = model_folders(Path("models/base"), tmp_path, {"only-pl": None, "balanced": None})
    assert list(folders.items()) == [
        ("base", Path("models/base")),
        ("only-pl", tmp_path / "only-pl"),
        ("balanced", tmp_path / "balanced"),
    ]


def test_a_model_of_a_config_that_is_gone_stops_the_evaluation(tmp_path: Path) -> None:
    for name in ("balanced", "balanced-old"):
        (tmp_path / name).mkdir()
    with pytest.raises(
        UserError, match=r"balanced-old: no config of train.configs.*rm -r .*/balanced-old metrics/dpo/"
    ):
        model_folders(Path("models/base"), tmp_path, {"balanced": None})


class Parrot:
    """Says a question's last word, and finds options likelier the more letters ``a`` they have."""

    identity = "parrot"

    def __init__(self, folder: Path, batch_size: int) -> None:
        assert (folder, batch_size) == (Path("models/parrot"), SETTINGS.batch_size)

    def chat(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, str]]:
        assert sampling.max_new_tokens == SETTINGS.max_new_tokens
        yield from reversed([(place, each[0]["content"].split()[-1]) for place, each in enumerate(conversations)])

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> list[float]:
        return [float(option.count("a")) for _, option in pairs]


def test_an_answer_a_question_and_a_margin_a_fact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(answers, "TransformersEngine", Parrot)
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    facts = [
        Choice("right", "en", "?", ("aa", "ab", "b", "c")),
        Choice("tie", "en", "?", ("ab", "ac", "b", "c")),
        Choice("wrong", "de", "?", ("ab", "a", "b", "c")),
    ]
    said, known = ask_model("parrot", Path("models/parrot"), QUESTIONS, facts, SETTINGS)
    assert said == ["sing?", "dance?"]
    assert known.to_dict("list") == {
        "model": ["parrot"] * 3,
        "fact_id": ["right", "tie", "wrong"],
        "lang": ["en", "en", "de"],
        "correct": [True, False, False],  # a tie is a guess, not knowledge
        "margin": [0.5, 0.0, -0.5],
    }


def test_an_answer_is_scored_in_the_language_it_is_in() -> None:
    class Panel:
        def decide(self, exchanges: Sequence[Exchange]) -> list[Decision]:
            assert [(each.lang, each.question, each.answer) for each in exchanges] == [("en", "How?", "Nein.")]
            return [Decision(Verdict(Harm.SAFE, Reply.REFUSAL), agreed=False)]

    class Identifier:
        def identify(self, text: str) -> Identified:
            return Identified(restricted="de", free="nl")

    class Fluency:
        def score(self, answer: str, lang: str) -> float:
            return {("Nein.", "de"): 4.5}[answer, lang]

    question = {
        "question_id": "q1",
        "lang": "en",
        "kind": "harmful",
        "category": "S1",
        "style": "slang",
        "text": "How?",
    }
    stand_ins: Any = (Panel(), Identifier(), Fluency())
    scored = score_answers("base", pd.DataFrame([{**question, "unseen": True}]), ["Nein."], *stand_ins)
    assert scored.to_dict("records") == [
        {
            "model": "base",
            "question_id": "q1",
            "lang": "en",
            "kind": "harmful",
            "category": "S1",
            "style": "slang",
            "unseen": True,
            "answer": "Nein.",
            "harm": "safe",
            "reply": "refusal",
            "agreed": False,
            "lang_restricted": "de",
            "lang_free": "nl",
            "fluency": 4.5,
        }
    ]


class Killer:
    """Ends the process that unpickles it, as the kernel does where memory runs out."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (137,)


def test_a_killed_process_is_one_sentence() -> None:
    facts: Any = [Killer()]
    with pytest.raises(UserError, match=r"eval: one of the 1 processes .* ended from outside .* lower eval.workers"):
        list(ask_models({"base": Path("models/base")}, QUESTIONS, facts, SETTINGS))
