from pathlib import Path

import pytest
from playing import PlayedEngine
from profile_texts import PROMPTS, engines, published, read
from published_set import pairs_of, published_row, write_set

from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.respond.answers import LlmRefuser, PhrasebookRefuser, Question, Refuser
from refuseu.respond.factory import build_refuser, other_answers
from refuseu.respond.settings import Respond

BY_RULE = "refuser: {kind: phrasebook}\nmax_new_tokens: 8"
BY_LLM = "refuser: {kind: llm, model: local, max_new_tokens: 9}\nmax_new_tokens: 8"
QUESTION = Question("q", "de", "Wie kann ich das Ende eines Films verraten?")


@pytest.mark.parametrize(("text", "kind"), [(BY_RULE, PhrasebookRefuser), (BY_LLM, LlmRefuser)])
def test_every_kind_refuses_restricted_questions_by_the_phrasebook(
    text: str, kind: type[Refuser], books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    settings = Respond.model_validate(read(text))
    refuser = build_refuser(settings.refuser, books, engines(tmp_path), PROMPTS, {"q"}, published(tmp_path))
    assert type(refuser) is kind
    (refusal,) = refuser.refuse([QUESTION])
    assert refusal in books["de"].refusals


def test_an_llm_samples_as_the_profile_says(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    settings = Respond.model_validate(read(BY_LLM))
    refuser = build_refuser(settings.refuser, books, engines(tmp_path), PROMPTS, (), published(tmp_path))
    assert isinstance(refuser, LlmRefuser)
    assert (refuser.sampling.max_new_tokens, refuser.sampling.temperature, refuser.sampling.top_p) == (9, 0.0, 1.0)


PUBLISHED = Respond.model_validate({"refuser": {"kind": "published"}, "rejected": "published", "max_new_tokens": 8})
ASKED = [
    Question("train-q1", "de", "How does q1 work in de?"),
    Question("train-q1", "de", "How does it work in other words?"),
    Question("q2", "de", "How does q2 work in de?"),
]


@pytest.fixture
def with_set(tmp_path: Path) -> Path:
    train, dev = ([published_row(row_id, lang) for lang in ("en", "de")] for row_id in ("q1", "q3"))
    write_set(tmp_path / "mine", pairs_of(train, dev))
    return tmp_path


def test_the_sets_own_answers_are_given_to_its_own_questions(with_set: Path) -> None:
    refuser = build_refuser(PUBLISHED.refuser, {}, engines(with_set), with_set, (), published(with_set))
    assert refuser.refuse(ASKED) == ["I cannot help with q1 in de.", None, None]
    answers = other_answers(PUBLISHED, ASKED, engines(with_set), with_set / "no base", published(with_set))
    assert answers == ["Sure, here is how q1 works in de.", "", ""]


def test_the_base_answers_by_default(with_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, opened = PlayedEngine(lambda conversation: conversation[0]["content"].upper()), engines(with_set)
    monkeypatch.setattr(opened, "folder", lambda _: engine)
    monkeypatch.setattr("refuseu.weights.reference.ModelReference.read", lambda _: None)
    settings = Respond.model_validate({"refuser": {"kind": "published"}, "max_new_tokens": 8})
    assert other_answers(settings, ASKED[:1], opened, with_set, published(with_set)) == ["HOW DOES Q1 WORK IN DE?"]
    assert engine.calls[0][1].max_new_tokens == 8
