"""Who plays the parts of the evaluation."""

from pathlib import Path

from refuseu.engines.registry import Opener, sampling_of
from refuseu.eval.answers import Scoring
from refuseu.eval.interfaces import FluencyScorer, KnowledgeTest
from refuseu.eval.rated import Rated
from refuseu.eval.settings import ChatRating, Eval, EvalParameters, NoPart
from refuseu.judges.registry import panel_of
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.text.identification import Identifier


def scoring_of(
    parameters: EvalParameters, books: dict[str, Phrasebook], opener: Opener, prompts: Path, refusals: Path
) -> Scoring:
    """Who scores the answers; ``prompts`` and ``refusals`` are the folders of what LLMs are told and of phrases that refuse."""
    return Scoring(
        panel_of(parameters.label, books, opener, prompts, refusals),
        Identifier(parameters.languages),
        fluency_of(parameters.eval, books),
        rating_of(parameters.eval, opener, prompts),
    )


def fluency_of(settings: Eval, books: dict[str, Phrasebook]) -> FluencyScorer | None:
    """Who scores fluency by rule; ``None`` where nobody shall, since the rule knows the phrasebook's sentences alone."""
    match settings.fluency.kind:
        case "bigrams":
            from refuseu.eval.bigrams import BigramFluency

            return BigramFluency(books)
        case "none":
            return None


def rating_of(settings: Eval, opener: Opener, prompts: Path) -> Rated | None:
    """The LLM judge that rates; ``prompts`` is the folder of what LLMs are told."""
    match settings.rating:
        case ChatRating() as part:
            from refuseu.engines.prompts import Prompt
            from refuseu.eval.chat import PLACEHOLDERS, ChatFluency

            prompt = Prompt.read(prompts / "fluency.md", PLACEHOLDERS)
            return Rated(ChatFluency(opener.named(part.model), sampling_of(part), prompt), part.prompts_per_language)
        case NoPart():
            return None


def knowledge_of(settings: Eval, books: dict[str, Phrasebook]) -> KnowledgeTest:
    """What tests knowledge."""
    match settings.knowledge.kind:
        case "facts":
            from refuseu.eval.facts import FactKnowledge

            return FactKnowledge(books)
        case "lm-eval":
            from refuseu.eval.harness import LmEvalKnowledge

            return LmEvalKnowledge(settings.knowledge.tests, list(books))
