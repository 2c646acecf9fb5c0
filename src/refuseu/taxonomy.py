"""What the project knows of languages and questions: data, no code.

Hazard categories and attack styles are parameters (``params.yaml``), because users add their own.
"""

from enum import StrEnum

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
