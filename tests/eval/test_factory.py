from pathlib import Path

import pytest
from evaluated import EVAL
from profile_texts import PROMPTS, opener
from pydantic import ValidationError

from refuseu.core.errors import UserError
from refuseu.eval import harness
from refuseu.eval.bigrams import BigramFluency
from refuseu.eval.chat import ChatFluency
from refuseu.eval.factory import fluency_of, knowledge_of, rating_of
from refuseu.eval.facts import FactKnowledge
from refuseu.eval.settings import Eval
from refuseu.phrasebook.phrasebook import Phrasebook

CHAT = {"kind": "chat", "model": "served", "prompts_per_language": 50, "max_new_tokens": 32}


def settings(**parts: object) -> Eval:
    return Eval.model_validate({**EVAL, **parts})


def test_the_phrasebook_plays_the_parts_of_the_evaluation(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    assert isinstance(fluency_of(settings(), books), BigramFluency)
    assert isinstance(knowledge_of(settings(), books), FactKnowledge)
    assert rating_of(settings(), opener(tmp_path), PROMPTS) is None
    assert fluency_of(settings(fluency={"kind": "none"}), books) is None


def test_an_llm_rates_beside_the_rule(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    both = settings(rating={**CHAT, "temperature": 0.5})
    assert isinstance(fluency_of(both, books), BigramFluency)
    rating = rating_of(both, opener(tmp_path), PROMPTS)
    assert rating is not None and isinstance(rating.rater, ChatFluency)
    assert rating.per_language == 50
    assert (rating.rater.sampling.max_new_tokens, rating.rater.sampling.temperature) == (32, 0.5)
    assert "{language}" in rating.rater.prompt.system


@pytest.mark.parametrize(
    "rating",
    [
        {**CHAT, "prompts_per_language": 0},
        {name: value for name, value in CHAT.items() if name != "prompts_per_language"},
        {name: value for name, value in CHAT.items() if name != "model"},
        {"kind": "bigrams"},
    ],
)
def test_a_rating_needs_a_model_and_questions(rating: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="rating"):
        settings(rating=rating)


def test_a_model_that_the_profile_does_not_have_cannot_rate(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^models.nobody: the profile has no such model"):
        rating_of(settings(rating={**CHAT, "model": "nobody"}), opener(tmp_path), PROMPTS)


def test_the_harness_tests_knowledge_where_the_profile_says_so(
    books: dict[str, Phrasebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "_exams", lambda test, languages: asked.append((test.name, languages)))
    asked: list[tuple[str, list[str]]] = []
    wanted = settings(knowledge={"kind": "lm-eval", "tests": [{"name": "belebele"}]})
    assert isinstance(knowledge_of(wanted, books), harness.LmEvalKnowledge)
    assert asked == [("belebele", ["en", "de"])]
