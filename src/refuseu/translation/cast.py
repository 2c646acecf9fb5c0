"""Who plays the translator."""

from pathlib import Path

from refuseu.engines.opening import Opener
from refuseu.engines.protocol import Sampling
from refuseu.parameters.translate import ByPhrasebook, LlmTranslator, Translate
from refuseu.phrasebook import Phrasebook
from refuseu.translation.parts import Translator
from refuseu.translation.phrasebook import PhrasebookTranslator


def translator_of(settings: Translate, books: dict[str, Phrasebook], opener: Opener, prompts: Path) -> Translator:
    """The translator that the profile names; ``prompts`` is the folder of what LLMs are told."""
    by_rule = PhrasebookTranslator(books)
    match settings.translator:
        case ByPhrasebook():
            return by_rule
        case LlmTranslator() as part:
            from refuseu.prompts import Prompt
            from refuseu.translation import llm
            from refuseu.translation.known import KnownFirst

            prompt = Prompt.read(prompts / "translation.md", llm.PLACEHOLDERS)
            sampling = Sampling(part.max_new_tokens, part.temperature, part.top_p)
            return KnownFirst(by_rule, llm.LlmTranslator(opener.named(part.model), sampling, prompt))
