from refuseu.evaluation.bigrams import BigramFluency
from refuseu.evaluation.cast import fluency_of, knowledge_of
from refuseu.evaluation.facts import FactKnowledge
from refuseu.parameters.eval import Eval
from refuseu.phrasebook import Phrasebook

SETTINGS = Eval.model_validate(
    {
        "fluency": {"kind": "bigrams"},
        "knowledge": {"kind": "facts"},
        "reference": "balanced",
        "confidence": 0.95,
        "max_unparsed": 0.4,
        "max_new_tokens": 3,
    }
)


def test_the_phrasebook_plays_the_parts_of_the_evaluation(books: dict[str, Phrasebook]) -> None:
    assert isinstance(fluency_of(SETTINGS, books), BigramFluency)
    assert isinstance(knowledge_of(SETTINGS, books), FactKnowledge)
