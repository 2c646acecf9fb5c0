import pytest

from refuseu.knowledge import harness
from refuseu.knowledge.factory import build_knowledge
from refuseu.knowledge.facts import FactKnowledge as PhrasebookFacts
from refuseu.knowledge.settings import FactKnowledge, LmEvalKnowledge, LmEvalTest
from refuseu.phrasebook.phrasebook import Phrasebook


def test_the_phrasebook_tests_knowledge(books: dict[str, Phrasebook]) -> None:
    assert isinstance(build_knowledge(FactKnowledge(kind="facts"), books), PhrasebookFacts)


def test_the_harness_tests_knowledge_where_the_profile_says_so(
    books: dict[str, Phrasebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "_exams", lambda test, languages: asked.append((test.name, languages)))
    asked: list[tuple[str, list[str]]] = []
    wanted = LmEvalKnowledge(kind="lm-eval", tests=[LmEvalTest(name="belebele")])
    assert isinstance(build_knowledge(wanted, books), harness.LmEvalKnowledge)
    assert asked == [("belebele", ["en", "de"])]
