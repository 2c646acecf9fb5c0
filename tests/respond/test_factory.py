from pathlib import Path

import pytest
from playing import PlayedEngine
from profile_texts import MODELS, PROMPTS, engines, published, read
from published_set import pairs_of, published_row, write_set

from refuseu.llm.protocol import Sampling, user
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.respond.answers import LlmRefuser, PhrasebookRefuser, Question, Refuser
from refuseu.respond.factory import build_answer, build_refuser
from refuseu.respond.settings import Respond, RespondParameters

BY_BASE = "rejected: {kind: base, max_new_tokens: 8}"
BY_RULE = "refuser: {kind: phrasebook}\n" + BY_BASE
BY_LLM = "refuser: {kind: llm, model: local, max_new_tokens: 9}\n" + BY_BASE
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


PUBLISHED = Respond.model_validate({"refuser": {"kind": "published"}, "rejected": {"kind": "published"}})
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
    answer = build_answer(PUBLISHED.rejected, engines(with_set), with_set / "no base", published(with_set))
    assert answer(ASKED) == ["Sure, here is how q1 works in de.", "", ""]


def test_the_base_or_the_model_that_the_profile_names_answers(with_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, other, opened = PlayedEngine("of the base"), PlayedEngine("of another"), engines(with_set)
    monkeypatch.setattr(opened, "folder", lambda _: base)
    monkeypatch.setattr(opened, "named", {"local": other}.__getitem__)
    monkeypatch.setattr("refuseu.weights.reference.ModelReference.read", lambda _: None)
    for text, said in (
        (BY_BASE, "of the base"),
        ("rejected: {kind: llm, model: local, max_new_tokens: 7, temperature: 0.5}", "of another"),
    ):
        role = Respond.model_validate(read(BY_RULE) | read(text)).rejected
        assert build_answer(role, opened, with_set, published(with_set))(ASKED[:1]) == [said]
    (to_base,), (to_other,) = base.calls, other.calls
    assert to_base == ([user("How does q1 work in de?")], Sampling(8))
    assert to_other == ([user("How does q1 work in de?")], Sampling(7, temperature=0.5))


@pytest.mark.parametrize(
    ("base", "rejected", "unanswered"),
    [
        ("trained", "{kind: base, max_new_tokens: 8}", set()),
        ("hub", "{kind: base, max_new_tokens: 8}", {"S4", "S12"}),
        ("gguf", "{kind: base, max_new_tokens: 8}", {"S4", "S12"}),
        ("trained", "{kind: llm, model: local, max_new_tokens: 8}", {"S4", "S12"}),
    ],
)
def test_the_miniatures_own_base_alone_answers_questions_of_restricted_categories(
    base: str, rejected: str, unanswered: set[str]
) -> None:
    parameters = RespondParameters.model_validate(
        {
            "languages": ["en"],
            "categories": {"S4": "four"},
            "styles": {"slang": "Slang"},
            "base.kind": base,
            "models": read(MODELS),
            "published": {"source": "mine"},
            "respond": read(BY_RULE) | read(f"rejected: {rejected}"),
        }
    )
    assert parameters.unanswered == unanswered
