"""Builds the refuser that the profile names, and gets the other answers from where the profile says."""

from collections.abc import Container, Sequence
from pathlib import Path
from typing import assert_never

from refuseu.engines.registry import EngineFactory, sampling_of
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Sampling, asked_alone
from refuseu.llm.settings import PhrasebookRole
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.respond import answers, settings
from refuseu.respond.answers import PhrasebookRefuser, PublishedAnswers, Question, Refuser
from refuseu.sources.published import PublishedSet
from refuseu.sources.settings import ByPublished
from refuseu.weights.reference import ModelReference


def build_refuser(
    role: settings.RefuserRole,
    books: dict[str, Phrasebook],
    engines: EngineFactory,
    prompts: Path,
    restricted: Container[str],
    published: PublishedSet,
) -> Refuser:
    """Build the refuser of one kind.

    Args:
        role: the profile's ``respond.refuser``.
        books: the phrasebooks by language.
        engines: opens the profile's models.
        prompts: the folder with the prompt of an LLM, ``refusal.md``.
        restricted: ids of the questions that no LLM may see.
        published: the published set, which is read only by the kind ``published``.

    Raises:
        UserError: for a model or a prompt that is missing or wrong.
    """
    by_rule = PhrasebookRefuser(books)
    match role:
        case PhrasebookRole():
            return by_rule
        case ByPublished():
            return PublishedAnswers(published)
        case settings.LlmRefuser():
            prompt = PromptTemplate.read(prompts / "refusal.md", answers.PLACEHOLDERS)
            return answers.LlmRefuser(engines.named(role.model), sampling_of(role), prompt, restricted, by_rule)
        case _:
            assert_never(role)


def other_answers(
    respond: settings.Respond,
    questions: Sequence[Question],
    engines: EngineFactory,
    base: Path,
    published: PublishedSet,
) -> list[str]:
    """Return the answers that are no refusals, in the order of the questions: the ``base``'s or the published set's.

    Raises:
        UserError: for a base that is missing or cannot be asked.
    """
    match respond.rejected:
        case "published":
            return PublishedAnswers(published).rejected(questions)
        case "base":
            engine = engines.folder(ModelReference.read(base))
            return asked_alone(engine, [question.text for question in questions], Sampling(respond.max_new_tokens))
        case _:
            assert_never(respond.rejected)
