"""Who plays the refuser, and who gives the other answer."""

from collections.abc import Container, Sequence
from pathlib import Path

from refuseu.engines.protocol import Sampling, asked_alone
from refuseu.engines.registry import Opener, sampling_of
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.respond.interfaces import Asked, Refuser
from refuseu.respond.phrasebook import PhrasebookRefuser
from refuseu.respond.settings import ByPhrasebook, LlmRefuser, Respond
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import ByPublished
from refuseu.weights.reference import ModelReference


def refuser_of(
    settings: Respond,
    books: dict[str, Phrasebook],
    opener: Opener,
    prompts: Path,
    withheld: Container[str],
    published: PublishedSet,
) -> Refuser:
    """The refuser that the profile names; ``prompts`` is the folder of what LLMs are told.

    The questions whose ids are in ``withheld`` reach no LLM.
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
            return llm.LlmRefuser(opener.named(part.model), sampling_of(part), prompt, withheld, by_rule)


def other_answers(
    settings: Respond, questions: Sequence[Asked], opener: Opener, base: Path, published: PublishedSet
) -> list[str]:
    """What a refusal is held against, in the order of the questions: the answers of the ``base``, or the published set's."""
    if settings.rejected == "published":
        from refuseu.respond.published import PublishedAnswers

        return PublishedAnswers(published).rejected(questions)
    engine = opener.folder(ModelReference.read(base))
    return asked_alone(engine, [question.text for question in questions], Sampling(settings.max_new_tokens))
