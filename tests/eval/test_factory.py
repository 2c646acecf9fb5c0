from pathlib import Path

import pytest
from evaluated import EVAL
from profile_texts import PROMPTS, engines
from pydantic import ValidationError
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.eval.bigrams import BigramFluency
from refuseu.eval.factory import build_fluency, build_rating
from refuseu.eval.rating import ChatRater
from refuseu.eval.settings import Eval
from refuseu.phrasebook.phrasebook import Phrasebook

CHAT = {"kind": "chat", "model": "served", "prompts_per_language": 50, "max_new_tokens": 32}
LANGUAGES, FLUENCY = ["en", "de"], ROOT / "data/fluency"


def settings(**parts: object) -> Eval:
    return Eval.model_validate({**EVAL, **parts})


def test_the_phrasebook_plays_the_parts_of_the_evaluation(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    assert isinstance(build_fluency(settings(), books), BigramFluency)
    assert build_rating(settings(), LANGUAGES, engines(tmp_path), PROMPTS, tmp_path / "none") is None
    assert build_fluency(settings(fluency={"kind": "none"}), books) is None


def test_an_llm_rates_beside_the_rule(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    both = settings(rating={**CHAT, "temperature": 0.5})
    assert isinstance(build_fluency(both, books), BigramFluency)
    rating = build_rating(both, LANGUAGES, engines(tmp_path), PROMPTS, FLUENCY)
    assert rating is not None and isinstance(rating.rater, ChatRater)
    assert list(rating.prompts.groupby("lang").size()) == [50, 50]
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
        build_rating(settings(rating={**CHAT, "model": "nobody"}), LANGUAGES, engines(tmp_path), PROMPTS, FLUENCY)


def test_a_language_without_prompts_stops_only_a_run_in_which_somebody_rates(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"de.yaml: cannot be read .* write prompts of each kind in German"):
        build_rating(settings(rating=CHAT), ["de"], engines(tmp_path), PROMPTS, tmp_path)
    assert build_rating(settings(), ["de"], engines(tmp_path), PROMPTS, tmp_path) is None
