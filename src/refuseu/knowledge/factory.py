"""The test of knowledge that the profile names."""

from collections.abc import Iterable
from typing import Protocol, assert_never

from refuseu.core.files import Row
from refuseu.knowledge.settings import KnowledgeSource
from refuseu.llm.protocol import Engine
from refuseu.phrasebook.phrasebook import Phrasebook


class KnowledgeTest(Protocol):
    """A test of knowledge that a model can sit in a process of its own."""

    def ask(self, engine: Engine) -> Iterable[Row]:
        """What the model chose: rows of ``eval.schemas.KNOWLEDGE`` without the columns that name the model."""


def build_knowledge(source: KnowledgeSource, books: dict[str, Phrasebook]) -> KnowledgeTest:
    """The test with the questions of ``source``; ``books`` holds the experiment's languages."""
    match source.kind:
        case "facts":
            from refuseu.knowledge.facts import FactKnowledge

            return FactKnowledge(books)
        case "lm-eval":
            from refuseu.knowledge.harness import LmEvalKnowledge

            return LmEvalKnowledge(source.tests, list(books))
        case unknown:
            assert_never(unknown)
