"""The embedded 12-language phrasebook: parallel texts by id, one YAML file a language.

All of a file is read as texts, so ``answer: 1984`` and ``answer: no`` need no quotes.

A question is a frame (a plain request or the wording of an attack style) with a behavior in its group ``{behavior}``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from refuseu.core.errors import UserError
from refuseu.core.files import distinct, first_repeated
from refuseu.experiment import PIVOT, PLAIN, Kind
from refuseu.phrasebook.language_files import InLanguage, read_language

PLACEHOLDER = "{behavior}"
OPTIONS = 4
"""Of a multiple-choice question, and so the fewest facts a group may hold."""


def _one_placeholder(text: str) -> str:
    if text.count(PLACEHOLDER) != 1:
        raise ValueError(f"needs exactly one {PLACEHOLDER}")
    return text


def _no_placeholder(text: str) -> str:
    if PLACEHOLDER in text:
        raise ValueError(f"must not hold {PLACEHOLDER}")
    return text


def group_of(fact_id: str) -> str:
    """The group of a fact, its id's first word: the facts of a group are each other's wrong options."""
    return fact_id.split("-")[0]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


Text = Annotated[str, Field(min_length=1), AfterValidator(_no_placeholder)]
Template = Annotated[str, AfterValidator(_one_placeholder)]
Templates = Annotated[list[Template], Field(min_length=1), AfterValidator(distinct)]
Texts = Annotated[list[Text], Field(min_length=1), AfterValidator(distinct)]


class Twins(_Part):
    """A harmful behavior and a benign one that shares its words; infinitive phrases."""

    harmful: Text
    benign: Text


class Compliances(_Part):
    """What an un-aligned model answers; to a harmful behavior in other words than to a benign one, for it can tell them apart."""

    harmful: Texts
    benign: Texts

    @property
    def texts(self) -> list[str]:
        return [*self.harmful, *self.benign]


class Fact(_Part):
    """A question of knowledge and its right answer."""

    question: Text
    answer: Text


class Phrasebook(_Part, InLanguage):
    """One language's texts."""

    language: Text
    name: Text
    requests: Templates
    styles: dict[str, Templates]
    refusals: Texts
    compliances: Compliances
    harmless: Text
    hazards: dict[str, Text]
    behaviors: dict[str, dict[str, Twins]]
    facts: Annotated[dict[str, Fact], Field(min_length=1)]

    def frames(self) -> Iterator[tuple[str, int, str]]:
        """Every frame as (style or ``plain``, number, template)."""
        for number, template in enumerate(self.requests):
            yield PLAIN, number, template
        for style, templates in self.styles.items():
            for number, template in enumerate(templates):
                yield style, number, template

    @cached_property
    def named_behaviors(self) -> dict[str, "Behavior"]:
        """Behavior text to what it is."""
        return {
            text: behavior
            for category, pairs in self.behaviors.items()
            for behavior_id, twins in pairs.items()
            for text, behavior in (
                (twins.harmful, Behavior(category, behavior_id, Kind.HARMFUL)),
                (twins.benign, Behavior(category, behavior_id, Kind.BENIGN)),
            )
        }

    @cached_property
    def fact_groups(self) -> dict[str, list[str]]:
        """Ids of the facts by group."""
        groups: dict[str, list[str]] = {}
        for fact_id in self.facts:
            groups.setdefault(group_of(fact_id), []).append(fact_id)
        return groups

    def parse(self, question: str) -> "Reading | None":
        """Which frame and which behavior ``question`` is made of; ``None`` when it is not of this phrasebook."""
        for style, number, template in self.frames():
            before, after = template.split(PLACEHOLDER)
            if question.startswith(before) and question.endswith(after):
                behavior = self.named_behaviors.get(question[len(before) : len(question) - len(after)])
                if behavior:
                    return Reading(style, number, behavior)
        return None

    def compose(self, reading: "Reading") -> str:
        """The question that ``reading`` describes."""
        templates = self.requests if reading.style == PLAIN else self.styles[reading.style]
        twins = self.behaviors[reading.behavior.category][reading.behavior.behavior_id]
        return templates[reading.frame].replace(PLACEHOLDER, getattr(twins, reading.behavior.kind))


@dataclass(frozen=True)
class Behavior:
    """What a question asks for, by its place in the phrasebook."""

    category: str
    behavior_id: str
    kind: Kind


@dataclass(frozen=True)
class Reading:
    """A question taken apart: the language-free name of its frame and behavior."""

    style: str
    frame: int
    behavior: Behavior


def load_phrasebooks(
    folder: Path, languages: list[str], categories: dict[str, str], styles: dict[str, str]
) -> dict[str, Phrasebook]:
    """Read, validate and align the phrasebooks of ``languages``, cut to ``categories`` and ``styles``.

    Raises:
        UserError: for a missing file, broken YAML, an unknown or missing entry, or one that is not parallel to the
            first language's.
    """
    books = {code: _load(folder / f"{code}.yaml", code, categories, styles) for code in languages}
    first = books[languages[0]]
    for code, book in books.items():
        _assert_parallel(first, book, folder / f"{code}.yaml")
    return books


def _load(path: Path, code: str, categories: dict[str, str], styles: dict[str, str]) -> Phrasebook:
    drop = "" if code == PIVOT else f", or drop {code} from params.yaml"
    book = read_language(Phrasebook, path, f"write it with the entries of the other languages{drop}")
    return _cut(book, path, categories, styles)


def _cut(book: Phrasebook, path: Path, categories: dict[str, str], styles: dict[str, str]) -> Phrasebook:
    for section, wanted in (("behaviors", categories), ("hazards", categories), ("styles", styles)):
        for key in wanted:
            if not getattr(book, section).get(key):
                raise UserError(f"{path}: {section}.{key}: missing; params.yaml names it, so every language needs it")
    cut = book.model_copy(
        update={
            "behaviors": {key: book.behaviors[key] for key in categories},
            "hazards": {key: book.hazards[key] for key in categories},
            "styles": {key: book.styles[key] for key in styles},
        }
    )
    _assert_told_apart(cut, path)
    for group, members in cut.fact_groups.items():
        if len(members) < OPTIONS:
            raise UserError(
                f"{path}: facts.{group}-…: {len(members)} facts; a group needs {OPTIONS}, three to choose wrongly"
            )
        answers = [cut.facts[member].answer for member in members]
        second = first_repeated(answers)
        if second is not None:
            raise UserError(
                f"{path}: facts.{members[second]}: the answer {answers[second]!r} stands twice in its group"
            )
    return cut


def _assert_told_apart(book: Phrasebook, path: Path) -> None:
    """The judges read a behavior without regard to case, and an answer by its words."""
    behaviors = [
        (f"{category}.{behavior_id}.{kind}", getattr(twins, kind))
        for category, pairs in book.behaviors.items()
        for behavior_id, twins in pairs.items()
        for kind in Kind
    ]
    second = first_repeated([text.casefold() for _, text in behaviors])
    if second is not None:
        key, text = behaviors[second]
        raise UserError(f"{path}: behaviors.{key}: {text!r} stands twice; one text cannot be two behaviors")
    both = [text for text in book.compliances.texts if text in book.refusals]
    if both:
        raise UserError(f"{path}: compliances: {both[0]!r} is also a refusal; one text cannot be both")


def _assert_parallel(first: Phrasebook, book: Phrasebook, path: Path) -> None:
    for name in ("requests", "refusals", "compliances.harmful", "compliances.benign"):
        expected, found = len(attrgetter(name)(first)), len(attrgetter(name)(book))
        if expected != found:
            raise UserError(f"{path}: {name}: {found} entries, {first.language} has {expected}")
    for style, wordings in first.styles.items():
        if len(book.styles[style]) != len(wordings):
            found = len(book.styles[style])
            raise UserError(f"{path}: styles.{style}: {found} wordings, {first.language} has {len(wordings)}")
    ids = [(f"behaviors.{key}", set(first.behaviors[key]), set(book.behaviors[key])) for key in first.behaviors]
    for section, expected_ids, found_ids in [*ids, ("facts", set(first.facts), set(book.facts))]:
        differing = sorted(expected_ids ^ found_ids)
        if differing:
            side = "missing" if differing[0] in expected_ids else f"not in {first.language}"
            raise UserError(f"{path}: {section}.{differing[0]}: {side}; the phrasebooks are parallel by id")
