"""Prompts of their own, whose answers an LLM judge rates: harmless ones, written in each language by itself.

``data/fluency/<lang>.yaml`` holds them by kind. The paper's authors wrote 50 a language, which ask to rephrase a text, to give an
opinion or to write a polite request, in at most four sentences each.
"""

import re
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import AfterValidator, ConfigDict, Field

from refuseu.core.errors import UserError
from refuseu.core.sections import first_repeated
from refuseu.experiment import LANGUAGES
from refuseu.phrasebook.language_files import InLanguage, read_language
from refuseu.text.identification import Identifier

KINDS = ("rephrase", "opinion", "request")
COLUMNS = ["prompt_id", "lang", "kind", "text"]
NO_PROMPTS = pd.DataFrame(columns=COLUMNS)
BRACKETS = re.compile(r"[{}\[\]<>]")
"""Signs of a placeholder that nobody fills: a model is asked each prompt as it stands."""


def _whole(text: str) -> str:
    if BRACKETS.search(text):
        raise ValueError("holds a bracket as of a placeholder, but is asked as it stands; write the words themselves")
    return text


Prompts = Annotated[list[Annotated[str, Field(min_length=1), AfterValidator(_whole)]], Field(min_length=1)]


class RatedPrompts(InLanguage):
    """The prompts of one language, by kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    rephrase: Prompts
    opinion: Prompts
    request: Prompts

    def in_turn(self) -> Iterator[tuple[str, str, str]]:
        """Id, kind and text of every prompt, one of each kind in turn, so that the first few hold all kinds."""
        numbered = (
            [(f"{kind}-{number:02}", kind, text) for number, text in enumerate(getattr(self, kind), 1)]
            for kind in KINDS
        )
        return (prompt for prompt in chain.from_iterable(zip_longest(*numbered)) if prompt)


def read_prompts(folder: Path, languages: list[str], per_language: int) -> pd.DataFrame:
    """The first ``per_language`` prompts of each language, taken from the kinds in turn: rows of ``COLUMNS``.

    Raises:
        UserError: for a file that is missing, is not YAML, or holds too few prompts; for an entry that is unknown, missing or
            wrong; and for a prompt that stands twice or reads as another language.
    """
    identifier = Identifier(list(LANGUAGES))
    rows: list[tuple[str, str, str, str]] = []
    for lang in languages:
        path = folder / f"{lang}.yaml"
        prompts = list(_read(path, lang).in_turn())
        _assert_usable(prompts, path, lang, identifier)
        if len(prompts) < per_language:
            raise UserError(
                f"{path}: holds {len(prompts)} prompts, eval.rating.prompts_per_language asks for {per_language}; lower it, or "
                "write more"
            )
        rows += [(prompt_id, lang, kind, text) for prompt_id, kind, text in prompts[:per_language]]
    return pd.DataFrame(rows, columns=COLUMNS)


def _read(path: Path, lang: str) -> RatedPrompts:
    language = LANGUAGES[lang].name
    way_out = (
        f"write prompts of each kind in {language}, as in en.yaml, or have nothing rated (eval.rating: {{kind: none}})"
    )
    return read_language(RatedPrompts, path, way_out)


def _assert_usable(prompts: list[tuple[str, str, str]], path: Path, lang: str, identifier: Identifier) -> None:
    """Make sure that no prompt stands twice, and that each reads as the file's language."""
    second = first_repeated([text.casefold() for _, _, text in prompts])
    if second is not None:
        raise UserError(
            f"{path}: {_place(prompts[second][0])}: {prompts[second][2]!r} stands twice; write another prompt"
        )
    for prompt_id, _, text in prompts:
        found = identifier.restricted(text)
        if found != lang:
            reads = f"reads as {LANGUAGES[found].name}" if found else "has no letter"
            raise UserError(
                f"{path}: {_place(prompt_id)}: {reads}, not as {LANGUAGES[lang].name}; write it in that language"
            )


def _place(prompt_id: str) -> str:
    """Where a prompt stands in its file, as faults of its entries say it."""
    kind, _, number = prompt_id.partition("-")
    return f"{kind}: entry {int(number)}"
