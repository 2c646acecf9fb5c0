"""The phrasebook: texts in several languages that are parallel by id, in one YAML file for each language.

Every value of a file is read as a text, so ``answer: 1984`` and ``answer: no`` need no quotes.

A question is a frame, which is a plain request or the wording of an attack style, with a behavior in place of ``{behavior}``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from refuseu.core.errors import UserError
from refuseu.core.sections import distinct, first_repeated
from refuseu.experiment import PIVOT, PLAIN, Kind
from refuseu.phrasebook.language_files import InLanguage, read_language

PLACEHOLDER = "{behavior}"
OPTIONS = 4
"""The number of options of a multiple-choice question, and therefore the least number of facts in a group."""


def _one_placeholder(text: str) -> str:
    if text.count(PLACEHOLDER) != 1:
        raise ValueError(f"needs exactly one {PLACEHOLDER}")
    return text


def _no_placeholder(text: str) -> str:
    if PLACEHOLDER in text:
        raise ValueError(f"must not hold {PLACEHOLDER}")
    return text


def group_of(fact_id: str) -> str:
    """The group of a fact, which is the first word of its id. The facts of a group are each other's wrong options."""
    return fact_id.split("-")[0]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


Text = Annotated[str, Field(min_length=1), AfterValidator(_no_placeholder)]
Template = Annotated[str, AfterValidator(_one_placeholder)]
Templates = Annotated[list[Template], Field(min_length=1), AfterValidator(distinct)]
Texts = Annotated[list[Text], Field(min_length=1), AfterValidator(distinct)]


class Twins(_Part):
    """A harmful behavior and a benign one that shares its words. Both are infinitive phrases."""

    harmful: Text
    benign: Text


class Compliances(_Part):
    """The answers of a model that is not aligned. They differ for harmful and benign behaviors, since it can tell them apart."""

    harmful: Texts
    benign: Texts

    @property
    def texts(self) -> list[str]:
        """All answers, those to harmful behaviors first."""
        return [*self.harmful, *self.benign]


class Fact(_Part):
    """A question on knowledge and its right answer."""

    question: Text
    answer: Text


class Phrasebook(_Part, InLanguage):
    """The texts of one language."""

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
        """The text of every behavior, mapped to its place in the phrasebook."""
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
        """The ids of the facts by group."""
        groups: dict[str, list[str]] = {}
        for fact_id in self.facts:
            groups.setdefault(group_of(fact_id), []).append(fact_id)
        return groups

    def parse(self, question: str) -> "Reading | None":
        """The frame and the behavior that ``question`` is made of, or ``None`` if it is not from this phrasebook."""
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
    """A behavior that a question asks for, by its place in the phrasebook."""

    category: str
    behavior_id: str
    kind: Kind


@dataclass(frozen=True)
class Reading:
    """A question taken apart: its frame and its behavior, without any language."""

    style: str
    frame: int
    behavior: Behavior

    @property
    def frame_id(self) -> str:
        """Names the frame in all languages: style and number, like ``slang-2``."""
        return f"{self.style}-{self.frame}"


def load_phrasebooks(
    folder: Path, languages: list[str], categories: dict[str, str], styles: dict[str, str]
) -> dict[str, Phrasebook]:
    """Read the phrasebooks of ``languages``, reduce them to ``categories`` and ``styles``, and check that they are parallel.

    Raises:
        UserError: for a file that is missing or is not YAML, for an entry that is unknown, missing or wrong, and for an entry
            without a counterpart in the first language.
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
    """Make sure that no text is two behaviors or two kinds of answer; the judges compare behaviors without case."""
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
