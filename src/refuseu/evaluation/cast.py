"""Who plays the parts of the evaluation."""

from pathlib import Path

from refuseu.engines.opening import Opener
from refuseu.evaluation.answers import Scoring
from refuseu.evaluation.parts import FluencyScorer, KnowledgeTest
from refuseu.identification import Identifier
from refuseu.judges.seating import panel_of
from refuseu.parameters.eval import Eval, EvalParameters
from refuseu.phrasebook import Phrasebook


def scoring_of(
    parameters: EvalParameters, books: dict[str, Phrasebook], opener: Opener, prompts: Path, refusals: Path
) -> Scoring:
    """Who scores the answers; ``prompts`` and ``refusals`` are the folders of what judges are told, and of phrases."""
    panel = panel_of(parameters.label, books, opener, prompts, refusals)
    return Scoring(panel, Identifier(parameters.languages), fluency_of(parameters.eval, books))


def fluency_of(settings: Eval, books: dict[str, Phrasebook]) -> FluencyScorer:
    """Who scores fluency."""
    match settings.fluency.kind:
        case "bigrams":
            from refuseu.evaluation.bigrams import BigramFluency

            return BigramFluency(books)


def knowledge_of(settings: Eval, books: dict[str, Phrasebook]) -> KnowledgeTest:
    """What tests knowledge."""
    match settings.knowledge.kind:
        case "facts":
            from refuseu.evaluation.facts import FactKnowledge

            return FactKnowledge(books)
