"""Builds who refuses and who gives the other answers, as the profile says."""

from collections.abc import Container
from pathlib import Path
from typing import assert_never

from refuseu.engines.registry import EngineFactory, sampling_of
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Engine, Sampling, asked_alone
from refuseu.llm.settings import PhrasebookRole
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.respond import answers, settings
from refuseu.respond.answers import PhrasebookRefuser, PublishedAnswers, Refuser
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
            engine, sampling = engines.named(role.model), sampling_of(role)
            return answers.LlmRefuser(engine, sampling, prompt, role.sentences, restricted, by_rule)
        case _:
            assert_never(role)


def build_answer(
    role: settings.RejectedRole, engines: EngineFactory, base: Path, published: PublishedSet
) -> answers.Answer:
    """Build what gives the answers that are no refusals: the un-aligned ``base``, another model, or the published set.

    Raises:
        UserError: for a model that is missing or cannot be asked.
    """
    match role:
        case settings.ByBase():
            return _asked(engines.folder(ModelReference.read(base)), Sampling(role.max_new_tokens))
        case settings.LlmRejected():
            return _asked(engines.named(role.model), sampling_of(role))
        case ByPublished():
            return PublishedAnswers(published).answer
        case _:
            assert_never(role)


def _asked(engine: Engine, sampling: Sampling) -> answers.Answer:
    """The model's own answer to each question, which is all that it is told."""
    return lambda questions: asked_alone(engine, [question.text for question in questions], sampling)
