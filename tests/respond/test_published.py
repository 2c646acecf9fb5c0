from pathlib import Path

import pytest
from playing import PlayedEngine
from profile_texts import engines, published
from published_set import published_row, write_set

from refuseu.respond.factory import build_refuser, build_rejected
from refuseu.respond.interfaces import Question
from refuseu.respond.settings import Respond

SETTINGS = Respond.model_validate({"refuser": {"kind": "published"}, "rejected": "published", "max_new_tokens": 8})
ASKED = [
    Question("q1", "de", "How does q1 work in de?"),
    Question("q1", "de", "How does it work in other words?"),
    Question("q2", "de", "How does q2 work in de?"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_set(tmp_path / "mine", [published_row("q1", lang) for lang in ("en", "de")], [published_row("q3", "en")])
    return tmp_path


def test_the_sets_own_answers_are_given_to_its_own_questions(folder: Path) -> None:
    refuser = build_refuser(SETTINGS, {}, engines(folder), folder, (), published(folder))
    assert refuser.refuse(ASKED) == ["I cannot help with q1 in de.", None, None]
    answers = build_rejected(SETTINGS, ASKED, engines(folder), folder / "no base", published(folder))
    assert answers == ["Sure, here is how q1 works in de.", "", ""]


def test_the_base_answers_where_the_profile_does_not_say_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, opened = PlayedEngine(lambda conversation: conversation[0]["content"].upper()), engines(folder)
    monkeypatch.setattr(opened, "folder", lambda _: engine)
    monkeypatch.setattr("refuseu.weights.reference.ModelReference.read", lambda _: None)
    settings = Respond.model_validate({"refuser": {"kind": "published"}, "max_new_tokens": 8})
    assert build_rejected(settings, ASKED[:1], opened, folder, published(folder)) == ["HOW DOES Q1 WORK IN DE?"]
    assert engine.calls[0][1].max_new_tokens == 8
