"""The paper's own way to questions: models write each of them in its language, in one step, for a slot.

A slot is a hazard category, an attack style and an activity. The questions of a slot are no translations of each other, so each
is a question group by itself. No question of a restricted category is asked for.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd

from refuseu.core.errors import UserError
from refuseu.core.files import read_yaml
from refuseu.core.terminal import say
from refuseu.experiment import LANGUAGES, PIVOT, RESTRICTED, Experiment, Kind
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Conversation, Engine, Sampling
from refuseu.llm.writing import written
from refuseu.phrasebook.phrasebook import Behavior, Phrasebook, Reading
from refuseu.rainbow_teaming.found import NOTED, Found, cells_of
from refuseu.rainbow_teaming.mutators import FIELD
from refuseu.rainbow_teaming.search import NOT_WRITTEN
from refuseu.tables.schemas import ELITE

PLACEHOLDERS = ("category", "activity", "style", "language", "examples")
"""Placeholders of the prompt ``generation.md``."""
EXAMPLES = 5
"""The largest number of the phrasebook's questions that a prompt shows."""
Activities = Mapping[str, Mapping[str, str]]
"""By hazard category, the id of each activity and what it is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question that a model is asked for."""

    category: str
    style: str
    activity: str
    """Id of the activity."""
    number: int
    """Place of the question among those of its slot and language, from 0."""
    lang: str
    model: str

    @property
    def question_id(self) -> str:
        return f"{self.activity}.{self.style}.{self.number + 1}.{self.lang}"


def wanted(
    activities: Activities, experiment: Experiment, models: Sequence[str], questions_per_slot: int
) -> Iterator[Wanted]:
    """Yield the questions of all slots in all languages.

    The models take turns within a slot, and the slots begin with one model after the other.
    """
    slots = [
        (category, style, activity)
        for category, named in activities.items()
        for style in experiment.styles
        for activity in named
    ]
    for place, slot in enumerate(slots):
        for number in range(questions_per_slot):
            for lang in experiment.languages:
                yield Wanted(*slot, number, lang, models[(place + number) % len(models)])


@dataclass(frozen=True)
class Generator:
    """Writes questions: the models, and what they are told."""

    models: Mapping[str, Engine]
    """By name, in the order in which they take turns."""
    sampling: Sampling
    """How they sample; the number of a question in its slot gives the seed."""
    prompt: PromptTemplate
    """With ``PLACEHOLDERS``."""
    hazards: Mapping[str, str]
    """Key of each category to its name and definition."""
    activities: Activities
    books: Mapping[str, Phrasebook]
    """By language; their questions are the examples."""
    experiment: Experiment
    questions_per_slot: int
    seed: int

    def generate(self) -> Found:
        """Have all questions written.

        Raises:
            UserError: when no question was written in a language.
        """
        asked = [*wanted(self.activities, self.experiment, [*self.models], self.questions_per_slot)]
        texts = self._written(asked)
        rows = [_row(each, text) for each, text in zip(asked, texts, strict=True) if text is not None]
        questions = pd.DataFrame(rows, columns=list(ELITE.columns))
        self._assert_written(set(questions["lang"]))
        summary = _summary(asked, texts)
        for category, by_model in summary["not_written"].items():
            for model, share in by_model.items():
                if share >= NOTED:
                    say(f"Note: {category}: {model} wrote no question for {share:.0%} of its prompts", err=True)
        return Found(questions, summary, [], cells_of(questions[questions["lang"] == PIVOT], self.experiment))

    def _written(self, asked: Sequence[Wanted]) -> list[str | None]:
        """The texts in the order of ``asked``; one model writes all of its questions before the next one is loaded."""
        batches: dict[tuple[str, int], list[int]] = {
            (model, number): [] for model in self.models for number in range(self.questions_per_slot)
        }
        for position, each in enumerate(asked):
            batches[each.model, each.number].append(position)
        texts: list[str | None] = [None] * len(asked)
        for (model, number), positions in batches.items():
            conversations = [self._conversation(asked[position]) for position in positions]
            sampling = replace(self.sampling, seed=random.Random(f"{self.seed}-{number}").randrange(2**31))
            lines = written(self.models[model], conversations, sampling, FIELD)
            for position, line in zip(positions, lines, strict=True):
                texts[position] = line
        return texts

    def _conversation(self, each: Wanted) -> Conversation:
        return self.prompt.conversation(
            category=self.hazards[each.category],
            activity=self.activities[each.category][each.activity],
            style=self.experiment.style(each.style),
            language=LANGUAGES[each.lang].name,
            examples="\n".join(f"- {text}" for text in self._examples(each)),
        )

    def _examples(self, each: Wanted) -> Iterator[str]:
        """Questions of the category in the style, which the seed and the question's id choose."""
        book, rng = self.books[each.lang], random.Random(f"{self.seed}-{each.question_id}")
        behaviors, wordings = list(book.behaviors[each.category]), range(len(book.styles[each.style]))
        frames = cycle(rng.sample(wordings, len(wordings)))
        for behavior_id in rng.sample(behaviors, min(EXAMPLES, len(behaviors))):
            behavior = Behavior(each.category, behavior_id, Kind.HARMFUL)
            yield book.compose(Reading(each.style, next(frames), behavior))

    def _assert_written(self, languages: set[str]) -> None:
        lacking = [lang for lang in self.experiment.languages if lang not in languages]
        if lacking:
            raise UserError(
                f"rainbow-teaming: no question was written in {', '.join(lacking)}: the models ({', '.join(self.models)}) "
                "declined, or wrote no single line; name others in rainbow-teaming.mutator, or raise its max_new_tokens"
            )


def _row(each: Wanted, text: str) -> dict[str, Any]:
    return {
        "question_id": each.question_id,
        "lang": each.lang,
        "kind": Kind.HARMFUL.value,
        "group_id": each.question_id,
        "category": each.category,
        "style": each.style,
        "behavior_id": each.activity,
        "frame_id": None,
        "text": text,
        "fitness": None,
        "iteration": None,
        "written_by": each.model,
    }


def _summary(asked: Sequence[Wanted], texts: Sequence[str | None]) -> dict[str, Any]:
    """The account; ``not_written`` is the share (0-1) of prompts without a question, by category and model."""
    prompts = Counter((each.category, each.model) for each in asked)
    lost = Counter((each.category, each.model) for each, text in zip(asked, texts, strict=True) if text is None)
    shares: dict[str, dict[str, float]] = {}
    for (category, model), count in prompts.items():
        shares.setdefault(category, {})[model] = lost[category, model] / count
    return {
        "made_by": "generator",
        "rows_in": len(asked),
        "rows_out": len(asked) - lost.total(),
        "rejected": {NOT_WRITTEN: lost.total()} if lost else {},
        "not_written": shares,
    }


def read_activities(path: Path, categories: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the activities of each category that is not restricted.

    Args:
        path: the file with the activities of each category by their ids, ``data/prompts/activities.yaml``.
        categories: key to name.

    Raises:
        UserError: for a file that cannot be read, that has no activity of a category or one of a restricted category, and for an
            id that stands in two categories.
    """
    content = read_yaml(path, f"'git restore {path}' brings the project's own back", texts=True)
    content = content if isinstance(content, dict) else {}
    for key in sorted(RESTRICTED & content.keys()):
        raise UserError(f"{path}: {key}: no model writes questions of this category; take its activities out")
    found: dict[str, dict[str, str]] = {}
    category_of: dict[str, str] = {}
    for key, name in categories.items():
        if key in RESTRICTED:
            continue
        named = content.get(key)
        if not isinstance(named, dict) or not named or not all(map(_is_text, named.values())):
            raise UserError(f"{path}: no activities of category {key} ({name}); write '{key}:' and lines '  an-id: …'")
        for activity in named:
            if category_of.setdefault(activity, key) != key:
                raise UserError(f"{path}: {key}.{activity}: also stands in {category_of[activity]}; take another id")
        found[key] = {activity: text.strip() for activity, text in named.items()}
    if not found:
        raise UserError(f"{path}: params.yaml names no category that models may write questions of; add one")
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
