"""Who plays the parts of the evaluation."""

from pathlib import Path

from refuseu.engines.registry import EngineFactory, sampling_of
from refuseu.eval.answers import Scoring
from refuseu.eval.interfaces import FluencyScorer, KnowledgeTest
from refuseu.eval.rated import Rated
from refuseu.eval.settings import ChatRating, Eval, EvalParameters, NoRole
from refuseu.judges.registry import build_panel
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.text.identification import Identifier


def build_scoring(
    parameters: EvalParameters, books: dict[str, Phrasebook], engines: EngineFactory, prompts: Path, refusals: Path
) -> Scoring:
    """Who scores the answers; ``prompts`` and ``refusals`` are the folders of what LLMs are told and of phrases that refuse."""
    return Scoring(
        build_panel(parameters.label, books, engines, prompts, refusals),
        Identifier(parameters.languages),
        build_fluency(parameters.eval, books),
        build_rating(parameters.eval, engines, prompts),
    )


def build_fluency(settings: Eval, books: dict[str, Phrasebook]) -> FluencyScorer | None:
    """Who scores fluency by rule; ``None`` where nobody shall, since the rule knows the phrasebook's sentences alone."""
    match settings.fluency.kind:
        case "bigrams":
            from refuseu.eval.bigrams import BigramFluency

            return BigramFluency(books)
        case "none":
            return None


def build_rating(settings: Eval, engines: EngineFactory, prompts: Path) -> Rated | None:
    """The LLM judge that rates; ``prompts`` is the folder of what LLMs are told."""
    match settings.rating:
        case ChatRating() as part:
            from refuseu.engines.prompts import Prompt
            from refuseu.eval.chat import PLACEHOLDERS, ChatFluency

            prompt = Prompt.read(prompts / "fluency.md", PLACEHOLDERS)
            return Rated(ChatFluency(engines.named(part.model), sampling_of(part), prompt), part.prompts_per_language)
        case NoRole():
            return None


def build_knowledge(settings: Eval, books: dict[str, Phrasebook]) -> KnowledgeTest:
    """What tests knowledge."""
    match settings.knowledge.kind:
        case "facts":
            from refuseu.eval.facts import FactKnowledge

            return FactKnowledge(books)
        case "lm-eval":
            from refuseu.eval.harness import LmEvalKnowledge

            return LmEvalKnowledge(settings.knowledge.tests, list(books))
