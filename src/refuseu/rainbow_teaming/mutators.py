"""Mutators: the phrasebook, which rewrites questions by a rule, and an LLM, with the hazards and seeds that it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from refuseu.core.errors import UserError
from refuseu.core.files import read_yaml
from refuseu.experiment import PLAIN, RESTRICTED, Kind
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Engine, Sampling
from refuseu.llm.routing import route
from refuseu.llm.writing import written
from refuseu.phrasebook.phrasebook import Behavior, Phrasebook, Reading
from refuseu.rainbow_teaming.draws import drawn, uniform
from refuseu.rainbow_teaming.interfaces import Mutator, Question, Seed, Target
from refuseu.rainbow_teaming.settings import SeedSet
from refuseu.sources.external import read_external
from refuseu.text.identification import Identifier, is_english

CATEGORY_PLACEHOLDERS = ("question", "category")
"""Placeholders of the prompt ``category.md``."""
STYLE_PLACEHOLDERS = ("question", "category", "style", "examples")
"""Placeholders of the prompt ``style.md``."""
FIELD = "question"
"""The entry of the JSON object in which an LLM writes a question."""
EXAMPLES = 3
"""The style prompt shows at most so many questions of the target's cell, the newest ones."""
NO_EXAMPLES = "(none yet)"


class PhrasebookMutator:
    """Composes a question of the target's category and style from the phrasebook.

    It keeps the parent's behavior where the category is the parent's, and its wording where the style is; within the parent's
    cell one of both, by half. So a question inherits what the target answered, and a search climbs.
    """

    def __init__(self, book: Phrasebook) -> None:
        self._book = book

    def seeds(self) -> list[Question]:
        """Return every harmful behavior in its plain wording."""
        return [seed.question for seed in self.seed_set()]

    def seed_set(self) -> list[Seed]:
        """Return the seeds with their categories."""
        return [
            Seed(self._question(PLAIN, 0, Behavior(category, behavior_id, Kind.HARMFUL)), category)
            for category, pairs in self._book.behaviors.items()
            for behavior_id in pairs
        ]

    def mutate(self, targets: Sequence[Target]) -> list[Question | None]:
        return [self._mutated(target) for target in targets]

    def _mutated(self, target: Target) -> Question:
        behavior_id = drawn(list(self._book.behaviors[target.category]), f"{target.seed}-behavior", str)
        frame = drawn(range(len(self._book.styles[target.style])), f"{target.seed}-frame", str)
        parent = self._book.parse(target.parent.text)
        if parent:
            same_category, same_style = parent.behavior.category == target.category, parent.style == target.style
            keeps_behavior = same_category and not (same_style and uniform(f"{target.seed}-half") < 0.5)
            if keeps_behavior:
                behavior_id = parent.behavior.behavior_id
            elif same_style:
                frame = parent.frame
        return self._question(target.style, frame, Behavior(target.category, behavior_id, Kind.HARMFUL))

    def _question(self, style: str, frame: int, behavior: Behavior) -> Question:
        reading = Reading(style, frame, behavior)
        return Question(self._book.compose(reading), behavior.behavior_id, reading.frame_id)


@dataclass(frozen=True)
class Wording:
    """The prompts of the LLM mutator, and the texts that stand for categories and styles in them."""

    category: PromptTemplate
    """Rewrites a question for a category; with ``CATEGORY_PLACEHOLDERS``."""
    style: PromptTemplate
    """Rewrites a question for an attack style; with ``STYLE_PLACEHOLDERS``."""
    hazards: dict[str, str]
    """Key of each category to its name and definition (``read_hazards``)."""
    styles: dict[str, str]
    """Key of each attack style to its name."""


@dataclass
class LlmMutator:
    """An LLM that rewrites a batch of questions in two steps: for the category, then for the style.

    The two prompts follow Rainbow Teaming (Samvelyan et al. 2024, arXiv 2402.16822, section 4). Questions of restricted
    categories (``RESTRICTED``) never reach the LLM: ``fallback`` writes them, the seed set is used without them, and a seed
    takes the place of a parent that ``fallback`` wrote.
    """

    engine: Engine
    sampling: Sampling
    """How the LLM samples; the first target of a batch gives the seed."""
    wording: Wording
    seed_set: Sequence[Seed]
    """A seed without a category counts as one of a category that is not restricted."""
    identifier: Identifier
    """Identifies the language among the project's languages; a question that is not English is dropped."""
    fallback: Mutator
    """Writes the questions of restricted categories."""
    _restricted: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        """Check the seed set.

        Raises:
            UserError: when it holds no seed that the LLM may see.
        """
        if not self.seeds():
            raise UserError(
                "rainbow-teaming.mutator: the seed set holds no question of a category that an LLM may be shown "
                f"(all but {', '.join(sorted(RESTRICTED))}); name another"
            )

    def seeds(self) -> list[Question]:
        """Return the seed set without the restricted categories."""
        return [seed.question for seed in self.seed_set if seed.category not in RESTRICTED]

    def mutate(self, targets: Sequence[Target]) -> list[Question | None]:
        """Return one question for each target, in order; ``None`` where the LLM wrote none, or none in English."""
        if not targets:
            return []
        sampling = replace(self.sampling, seed=int(uniform(targets[0].seed) * 2**31))
        return route(
            targets,
            [target.category not in RESTRICTED for target in targets],
            model=lambda shown: self._by_llm([self._without_restricted(each) for each in shown], sampling),
            rule=self._by_fallback,
        )

    def _by_fallback(self, targets: Sequence[Target]) -> list[Question | None]:
        questions = self.fallback.mutate(targets)
        self._restricted.update(question.text for question in questions if question)
        return questions

    def _without_restricted(self, target: Target) -> Target:
        """Return the target; where its parent is a restricted question, with a question of the seed set as its parent."""
        if target.parent.text not in self._restricted:
            return target
        return replace(target, parent=drawn(self.seeds(), f"{target.seed}-parent", lambda each: each.text))

    def _by_llm(self, targets: Sequence[Target], sampling: Sampling) -> list[Question | None]:
        categorised = self._step(self.wording.category, targets, [each.parent.text for each in targets], sampling)
        styled = self._step(self.wording.style, targets, categorised, sampling)
        return [Question(text) if text and is_english(text, self.identifier) else None for text in styled]

    def _step(
        self, prompt: PromptTemplate, targets: Sequence[Target], texts: Sequence[str | None], sampling: Sampling
    ) -> list[str | None]:
        """Return each of ``texts`` as the prompt rewrites it; ``None`` stays ``None``."""
        conversations = [
            prompt.conversation(
                question=text,
                category=self.wording.hazards[target.category],
                style=self.wording.styles[target.style],
                examples="\n".join(f"- {each}" for each in target.examples[-EXAMPLES:]) or NO_EXAMPLES,
            )
            for target, text in zip(targets, texts, strict=True)
            if text
        ]
        results = iter(written(self.engine, conversations, sampling, FIELD))
        return [next(results) if text else None for text in texts]


def read_hazards(path: Path, categories: Mapping[str, str]) -> dict[str, str]:
    """Return ``Name: definition`` of each category that is not restricted.

    Args:
        path: the file with a definition for each key, ``data/prompts/hazards.yaml``.
        categories: key to name.

    Raises:
        UserError: for a file that cannot be read or that does not define a category.
    """
    definitions = read_yaml(path, f"'git restore {path}' brings the project's own back", texts=True)
    hazards = {}
    for key, name in categories.items():
        if key in RESTRICTED:
            continue
        definition = definitions.get(key) if isinstance(definitions, dict) else None
        if not isinstance(definition, str) or not definition.strip():
            raise UserError(f"{path}: no definition of category {key} ({name}); write a line '{key}: …'")
        hazards[key] = f"{name}: {definition.strip()}"
    return hazards


def read_seeds(seed_set: SeedSet, folder: Path, categories: Mapping[str, str]) -> list[Seed]:
    """Return all seeds of a file or of a dataset of the hub, in their order.

    Args:
        seed_set: where the seeds are.
        folder: the folder of the files.
        categories: key to name.

    Raises:
        UserError: for a set that cannot be read, is empty or lacks a column, and for a row without a question or with an
            unknown category. The error does not show the texts of the set, because they may be harmful.
    """
    return [
        Seed(Question(row.question(seed_set.text)), row.category(seed_set.category, categories))
        for row in read_external(seed_set, folder)
    ]
