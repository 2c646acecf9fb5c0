"""Who plays the parts of the evaluation."""

from refuseu.evaluation.parts import FluencyScorer, KnowledgeTest
from refuseu.parameters.eval import Eval
from refuseu.phrasebook import Phrasebook


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
