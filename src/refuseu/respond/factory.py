"""Who plays the refuser, and who gives the other answer."""

from collections.abc import Container, Sequence
from pathlib import Path

from refuseu.engines.protocol import Sampling, asked_alone
from refuseu.engines.registry import EngineFactory, sampling_of
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.respond.interfaces import Question, Refuser
from refuseu.respond.phrasebook import PhrasebookRefuser
from refuseu.respond.settings import ByPhrasebook, LlmRefuser, Respond
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import ByPublished
from refuseu.weights.reference import ModelReference


def build_refuser(
    settings: Respond,
    books: dict[str, Phrasebook],
    engines: EngineFactory,
    prompts: Path,
    restricted: Container[str],
    published: PublishedSet,
) -> Refuser:
    """The refuser that the profile names; ``prompts`` is the folder of what LLMs are told.

    The questions whose ids are in ``restricted`` reach no LLM.
    """
    by_rule = PhrasebookRefuser(books)
    match settings.refuser:
        case ByPhrasebook():
            return by_rule
        case ByPublished():
            from refuseu.respond.published import PublishedAnswers

            return PublishedAnswers(published)
        case LlmRefuser() as part:
            from refuseu.engines.prompts import Prompt
            from refuseu.respond import llm

            prompt = Prompt.read(prompts / "refusal.md", llm.PLACEHOLDERS)
            return llm.LlmRefuser(engines.named(part.model), sampling_of(part), prompt, restricted, by_rule)


def build_rejected(
    settings: Respond, questions: Sequence[Question], engines: EngineFactory, base: Path, published: PublishedSet
) -> list[str]:
    """What a refusal is held against, in the order of the questions: the answers of the ``base``, or the published set's."""
    if settings.rejected == "published":
        from refuseu.respond.published import PublishedAnswers

        return PublishedAnswers(published).rejected(questions)
    engine = engines.folder(ModelReference.read(base))
    return asked_alone(engine, [question.text for question in questions], Sampling(settings.max_new_tokens))
