"""Builds whoever plays a role in the evaluation, as the profile says."""

from pathlib import Path
from typing import assert_never

from refuseu.engines.registry import EngineFactory, sampling_of
from refuseu.eval.interfaces import FluencyScorer
from refuseu.eval.rated_prompts import read_prompts
from refuseu.eval.rating import PLACEHOLDERS, ChatRater, PromptRating
from refuseu.eval.scoring import Scorers
from refuseu.eval.settings import ChatRating, Eval, EvalParameters
from refuseu.judges.panel import build_panel
from refuseu.judges.settings import Resources
from refuseu.llm.identifier import open_identifier
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.settings import NoRole
from refuseu.phrasebook.phrasebook import Phrasebook


def build_scorers(
    parameters: EvalParameters,
    books: dict[str, Phrasebook],
    engines: EngineFactory,
    prompts: Path,
    refusals: Path,
    fluency: Path,
) -> Scorers:
    """All that score answers.

    Args:
        prompts: the folder of prompts for LLMs.
        refusals: that of phrases that refuse.
        fluency: that of the prompts whose answers are rated; it is read only where somebody rates.
    """
    return Scorers(
        build_panel(parameters.label, Resources(lambda: books, engines.named, prompts, refusals)),
        open_identifier(parameters.identifier, parameters.languages, engines.store, engines.loaded_elsewhere),
        build_fluency(parameters.eval, books),
        build_rating(parameters.eval, parameters.languages, engines, prompts, fluency),
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


def build_rating(
    settings: Eval, languages: list[str], engines: EngineFactory, prompts: Path, fluency: Path
) -> PromptRating | None:
    """The LLM judge and what it rates answers to, or ``None``; the folders are those of ``build_scorers``."""
    match settings.rating:
        case ChatRating() as part:
            prompt = PromptTemplate.read(prompts / "fluency.md", PLACEHOLDERS)
            rater = ChatRater(engines.named(part.model), sampling_of(part), prompt)
            return PromptRating(read_prompts(fluency, languages, part.prompts_per_language), rater)
        case NoRole():
            return None
        case unknown:
            assert_never(unknown)
