"""Which language a text is in, asked twice: among the project's languages, and among all the identifier knows.

Restricting hides an answer in a thirteenth language, the free question confuses close relatives more often; so both are
recorded. Identifier: py3langid (99.2% of public test sentences right when restricted to the 12).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from refuseu.core.errors import UserError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

KEPT = 50_000
"""Texts, most of which are answers that models give again and again."""


@dataclass(frozen=True)
class Identified:
    """Both codes are empty for a text without a letter: it is in no language."""

    restricted: str
    """Code among the project's languages."""
    free: str
    """Code among all languages of the identifier."""


class Identifier:
    """Identifies languages; of the last ``KEPT`` texts each is looked at once."""

    def __init__(self, languages: list[str]) -> None:
        assert_known(languages)
        self._among, self._free = (_teller(_load(codes)) for codes in (tuple(languages), ()))

    def identify(self, text: str) -> Identified:
        return Identified(self._among(text), self._free(text))

    def restricted(self, text: str) -> str:
        """``Identified.restricted`` alone, which takes half the time."""
        return self._among(text)


def _teller(identifier: "LanguageIdentifier") -> Callable[[str], str]:
    @lru_cache(KEPT)
    def tell(text: str) -> str:
        code: str = identifier.classify(text)[0] if any(map(str.isalpha, text)) else ""
        return code

    return tell


def assert_known(languages: list[str]) -> None:
    """Fail for a language that the identifier cannot tell.

    Raises:
        UserError: naming the language.
    """
    labels = _load(()).labels
    for code in languages:
        if code not in labels:
            raise UserError(
                f"languages: the identifier py3langid has no language {code!r}, so no text could be checked to be in it; "
                f"take it out, or use a code of its {len(labels)}: {', '.join(sorted(labels))}"
            )


@cache
def _load(languages: tuple[str, ...]) -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    if languages:
        identifier.set_languages(list(languages))
    return identifier
