"""What an experiment is about: languages, hazard categories and attack styles."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from refuseu.core.sections import Section, distinct


@dataclass(frozen=True)
class Language:
    """One language: all that the stages must know of it beside its texts in ``data/phrasebook``."""

    code: str
    """ISO 639-1, as the language identifier py3langid has it."""
    name: str
    """In English, as prompts and cards write it."""
    flores: str | None
    """Name in FLORES-200, which NLLB and Belebele share (an ISO 639-3 code and the script); ``None`` where it has none."""
    tokens_per_word: float
    """Mean tokens of a word with Llama 3.1's tokenizer, measured on the phrasebook's questions; ``make plan`` counts with it."""
    high_resource: bool = False
    """Whether the paper counts it among its high-resource languages; tables and figures draw a line after them."""
    belebele: bool = True
    """Whether lm-evaluation-harness has Belebele in this language."""
    global_mmlu: bool = False
    """Whether lm-evaluation-harness has the full Global MMLU in this language."""


LANGUAGES: dict[str, Language] = {
    language.code: language
    for language in (
        Language("en", "English", "eng_Latn", 1.20, high_resource=True, global_mmlu=True),
        Language("de", "German", "deu_Latn", 1.80, high_resource=True, global_mmlu=True),
        Language("fr", "French", "fra_Latn", 1.64, high_resource=True, global_mmlu=True),
        Language("it", "Italian", "ita_Latn", 1.82, high_resource=True, global_mmlu=True),
        Language("es", "Spanish", "spa_Latn", 1.64, high_resource=True, global_mmlu=True),
        Language("pt", "Portuguese", "por_Latn", 1.64, high_resource=True, global_mmlu=True),
        Language("pl", "Polish", "pol_Latn", 2.60, global_mmlu=True),
        Language("cs", "Czech", "ces_Latn", 2.13, global_mmlu=True),
        Language("sk", "Slovak", "slk_Latn", 2.52),
        Language("sl", "Slovenian", "slv_Latn", 2.34),
        Language("lt", "Lithuanian", "lit_Latn", 3.35, global_mmlu=True),
        Language("lv", "Latvian", "lvs_Latn", 3.24),
    )
}
"""All known languages by code, in the order of the paper's tables. A new language is a row here and a phrasebook."""

HIGH_RESOURCE = frozenset(code for code, language in LANGUAGES.items() if language.high_resource)

PLAIN = "plain"
"""Name of the ways to ask that carry no attack style."""

PIVOT = "en"
"""Questions are searched for in this language and translated from it."""


def by_resource(languages: Sequence[str]) -> list[str]:
    """High-resource languages first, each of the two groups in the order given; all tables and figures have this order."""
    return sorted(languages, key=lambda lang: lang not in HIGH_RESOURCE)


class Kind(StrEnum):
    """What a question asks for."""

    HARMFUL = "harmful"
    BENIGN = "benign"
    """The twin of a harmful question: it shares its words and asks for nothing harmful."""


def _known_language(code: str) -> str:
    if code not in LANGUAGES:
        raise ValueError(f"unknown language {code!r}; known are {', '.join(LANGUAGES)}")
    return code


LanguageCode = Annotated[str, AfterValidator(_known_language)]
Languages = Annotated[list[LanguageCode], Field(min_length=1), AfterValidator(distinct)]
"""Codes, each once."""
Named = Annotated[dict[str, str], Field(min_length=1)]
"""Key to name."""


class Experiment(Section):
    """What most stages read beside their own section."""

    languages: Languages
    categories: Named
    styles: Named

    def category(self, key: str) -> str:
        """A hazard category as people read it: ``S1 Violent Crimes``; a key that is a word is left to the name."""
        name = self.categories.get(key, "")
        return f"{key} {name}" if name and re.fullmatch(r"[A-Z]+\d+", key) else name or key

    def style(self, key: str) -> str:
        """An attack style as people read it: ``Role play``; one without a name by its key."""
        return self.styles.get(key, key)


RESTRICTED = frozenset({"S4", "S12"})
"""Hazard categories (child sexual exploitation, sexual content) for which no language model writes anything for the data: no
question, translation, refusal or answer. The questions are the phrasebook's, which ask no more than how to get around the rules
that protect, and the miniature's own base alone answers them."""


class WithBase(Experiment):
    """What a stage reads that has the un-aligned base answer questions."""

    base_kind: Annotated[str, Field(alias="base.kind")]
    """Kind of the base (``base.settings.Base``)."""

    @property
    def withheld_from_base(self) -> frozenset[str]:
        """The hazard categories whose questions the base does not see while data are made: ``RESTRICTED``.

        The base of kind ``trained`` sees them, since it knows nothing but the phrasebook, whose compliances are empty shells.
        """
        return frozenset() if self.base_kind == "trained" else RESTRICTED
