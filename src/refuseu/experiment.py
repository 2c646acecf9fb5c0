"""What an experiment is about: languages, hazard categories and attack styles."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from refuseu.core.files import distinct
from refuseu.core.sections import Section

LANGUAGES: dict[str, str] = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "it": "Italian",
    "es": "Spanish",
    "pt": "Portuguese",
    "pl": "Polish",
    "cs": "Czech",
    "sk": "Slovak",
    "sl": "Slovenian",
    "lt": "Lithuanian",
    "lv": "Latvian",
}
"""Language code (ISO 639-1) to English name, in the order of the paper's tables."""

HIGH_RESOURCE: tuple[str, ...] = ("en", "de", "it", "fr", "es", "pt")
"""The paper's six high-resource languages; tables and figures draw the line after them."""

PLAIN = "plain"
"""Name of the ways to ask that carry no attack style."""

UNKNOWN = "unknown"
"""Style of questions whose style nobody tells."""

PIVOT = "en"
"""Questions are searched for in this language and translated from it."""


class Kind(StrEnum):
    """What a question asks for."""

    HARMFUL = "harmful"
    BENIGN = "benign"
    """The twin of a harmful question: it shares its words and asks for nothing harmful."""


def _known_language(code: str) -> str:
    if code not in LANGUAGES:
        raise ValueError(f"unknown language {code!r}; known are {', '.join(LANGUAGES)}")
    return code


Language = Annotated[str, AfterValidator(_known_language)]
Languages = Annotated[list[Language], Field(min_length=1), AfterValidator(distinct)]
Named = Annotated[dict[str, str], Field(min_length=1)]
"""Key to name."""


class Experiment(Section):
    """What most stages read beside their own section."""

    languages: Languages
    categories: Named
    styles: Named


RESTRICTED = frozenset({"S4", "S12"})
"""Hazard categories (child sexual exploitation, sexual content) whose questions no LLM writes, rewrites, translates or answers
for the data; they are the phrasebook's, which asks no more than how to get around the rules against them.
"""
