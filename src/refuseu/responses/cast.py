"""Who plays the refuser."""

from collections.abc import Container
from pathlib import Path

from refuseu.engines.opening import Opener
from refuseu.engines.protocol import Sampling
from refuseu.parameters.respond import ByPhrasebook, LlmRefuser, Respond
from refuseu.phrasebook import Phrasebook
from refuseu.responses.parts import Refuser
from refuseu.responses.phrasebook import PhrasebookRefuser


def refuser_of(
    settings: Respond, books: dict[str, Phrasebook], opener: Opener, prompts: Path, withheld: Container[str]
) -> Refuser:
    """The refuser that the profile names; ``prompts`` is the folder of what LLMs are told.

    The questions whose ids are in ``withheld`` reach no LLM.
    """
    by_rule = PhrasebookRefuser(books)
    match settings.refuser:
        case ByPhrasebook():
            return by_rule
        case LlmRefuser() as part:
            from refuseu.prompts import Prompt
            from refuseu.responses import llm

            prompt = Prompt.read(prompts / "refusal.md", llm.PLACEHOLDERS)
            sampling = Sampling(part.max_new_tokens, part.temperature, part.top_p)
            return llm.LlmRefuser(opener.named(part.model), sampling, prompt, withheld, by_rule)
