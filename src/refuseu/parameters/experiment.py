"""What an experiment is about: languages, hazard categories and attack styles."""

from typing import Annotated

from pydantic import AfterValidator, Field

from refuseu.files.repeated import distinct
from refuseu.parameters.section import Section
from refuseu.taxonomy import LANGUAGES


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
