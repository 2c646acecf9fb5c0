"""Builds whoever plays a role in the evaluation, as the profile says."""

from pathlib import Path
from typing import assert_never

from refuseu.engines.registry import EngineFactory, sampling_of
from refuseu.eval.interfaces import FluencyScorer, KnowledgeTest
from refuseu.eval.rating import PLACEHOLDERS, ChatRater, SampleRater
from refuseu.eval.scoring import Scorers
from refuseu.eval.settings import ChatRating, Eval, EvalParameters
from refuseu.judges.panel import build_panel
from refuseu.judges.settings import Resources
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.settings import NoRole
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.text.identification import Identifier


def build_scorers(
    parameters: EvalParameters, books: dict[str, Phrasebook], engines: EngineFactory, prompts: Path, refusals: Path
) -> Scorers:
    """All that score answers; ``prompts`` is the folder of prompts for LLMs, ``refusals`` that of phrases that refuse."""
    return Scorers(
        build_panel(parameters.label, Resources(lambda: books, engines.named, prompts, refusals)),
        Identifier(parameters.languages),
        build_fluency(parameters.eval, books),
        build_rating(parameters.eval, engines, prompts),
    )


def build_fluency(settings: Eval, books: dict[str, Phrasebook]) -> FluencyScorer | None:
    """The scorer of fluency by rule; ``None`` where there is none, since the rule only knows the phrasebook's sentences."""
    match settings.fluency.kind:
        case "bigrams":
            from refuseu.eval.bigrams import BigramFluency

            return BigramFluency(books)
        case "none":
            return None
        case unknown:
            assert_never(unknown)


def build_rating(settings: Eval, engines: EngineFactory, prompts: Path) -> SampleRater | None:
    """The LLM judge that rates answers, or ``None``; ``prompts`` is the folder of prompts for LLMs."""
    match settings.rating:
        case ChatRating() as part:
            prompt = PromptTemplate.read(prompts / "fluency.md", PLACEHOLDERS)
            rater = ChatRater(engines.named(part.model), sampling_of(part), prompt)
            return SampleRater(rater, part.prompts_per_language)
        case NoRole():
            return None
        case unknown:
            assert_never(unknown)


def build_knowledge(settings: Eval, books: dict[str, Phrasebook]) -> KnowledgeTest:
    """The test of knowledge that the profile names."""
    match settings.knowledge.kind:
        case "facts":
            from refuseu.eval.facts import FactKnowledge

            return FactKnowledge(books)
        case "lm-eval":
            from refuseu.eval.harness import LmEvalKnowledge

            return LmEvalKnowledge(settings.knowledge.tests, list(books))
        case unknown:
            assert_never(unknown)
