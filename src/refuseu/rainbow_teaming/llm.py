"""The parts that an LLM plays in the search: it writes questions and benign twins, and says which of two is more harmful.

After Rainbow Teaming (Samvelyan et al. 2024, arXiv 2402.16822, section 4): one prompt a feature dimension, the category first.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from refuseu.core.errors import UserError
from refuseu.engines.prompts import Prompt
from refuseu.engines.protocol import Completion, Engine, Sampling, completed
from refuseu.engines.writing import written
from refuseu.experiment import PIVOT, RESTRICTED
from refuseu.judges.verdict import Exchange
from refuseu.rainbow_teaming.interfaces import Mutator, Question, Target, Twins
from refuseu.rainbow_teaming.seeds import Seed
from refuseu.text.identification import Identifier

CATEGORY_PLACEHOLDERS = ("question", "category")
STYLE_PLACEHOLDERS = ("question", "category", "style", "examples")
TWIN_PLACEHOLDERS = ("question",)
PREFERENCE_PLACEHOLDERS = ("question_a", "answer_a", "question_b", "answer_b")

FIELD = "question"
"""The entry of the JSON object that a question is written in."""
EXAMPLES = 3
"""Questions of the target's cell that the style step is shown at most, the newest."""
NO_EXAMPLES = "(none yet)"
LETTERS = ("A", "B")
"""What the two exchanges are called."""
DECIDED = 0.5
"""Probability that the two letters must have together, or the model said something else."""
LATIN = 0.9
"""Share of a question's letters that must be in ASCII: the identifier calls some texts in other scripts English."""


@dataclass(frozen=True)
class Wording:
    """What the LLM is told for a question: prompts, and what their placeholders stand for."""

    category: Prompt
    """Of the category step, with ``CATEGORY_PLACEHOLDERS``."""
    style: Prompt
    """Of the style step, with ``STYLE_PLACEHOLDERS``."""
    hazards: dict[str, str]
    """Key of each category to what is said of it (``hazards.read_hazards``)."""
    styles: dict[str, str]
    """Key of each attack style to its name."""


@dataclass
class LlmMutator:
    """Two steps a question, each asked for the whole batch at once: to the category, then to the style.

    Categories of ``RESTRICTED`` never reach the LLM: ``fallback`` writes their questions, they are left out of the seeds, and
    where one of them is drawn as the parent of another category's question, a seed takes its place.
    """

    engine: Engine
    sampling: Sampling
    """Its seed is drawn anew for each batch."""
    wording: Wording
    seed_set: Sequence[Seed]
    """A seed without a category is taken for one of no restricted category."""
    identifier: Identifier
    """Among the project's languages; a question that is not English is none."""
    fallback: Mutator
    """Writes the questions of restricted categories."""
    _by_fallback: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        """Fail without a seed.

        Raises:
            UserError: when no seed is left.
        """
        if not self.seeds():
            raise UserError(
                "rainbow-teaming.mutator: the seed set holds no question of a category that an LLM may be shown "
                f"(all but {', '.join(sorted(RESTRICTED))}); name another"
            )

    def seeds(self) -> list[Question]:
        """The seed set without restricted categories."""
        return [seed.question for seed in self.seed_set if seed.category not in RESTRICTED]

    def mutate(self, targets: Iterable[Target], rng: random.Random) -> list[Question | None]:
        """One question a target, in order; ``None`` where the LLM wrote none in either step, or none in English."""
        drawn = list(targets)
        sampling = replace(self.sampling, seed=rng.randrange(2**31))
        kept_away = self.fallback.mutate([each for each in drawn if each.category in RESTRICTED], rng)
        self._by_fallback.update(question.text for question in kept_away if question)
        shown = [self._shown(each, rng) for each in drawn if each.category not in RESTRICTED]
        by_rule, by_llm = iter(kept_away), iter(self._written(shown, sampling))
        return [next(by_rule if each.category in RESTRICTED else by_llm) for each in drawn]

    def _shown(self, target: Target, rng: random.Random) -> Target:
        """The target, with a seed for a parent that the LLM may not see."""
        return replace(target, parent=rng.choice(self.seeds())) if target.parent.text in self._by_fallback else target

    def _written(self, targets: Sequence[Target], sampling: Sampling) -> list[Question | None]:
        categorised = self._step(self.wording.category, targets, [each.parent.text for each in targets], sampling)
        styled = self._step(self.wording.style, targets, categorised, sampling)
        return [Question(text) if text and is_english(text, self.identifier) else None for text in styled]

    def _step(
        self, prompt: Prompt, targets: Sequence[Target], texts: Sequence[str | None], sampling: Sampling
    ) -> list[str | None]:
        """What became of each of ``texts``; ``None`` stays ``None``."""
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


@dataclass(frozen=True)
class LlmTwins:
    """An LLM writes the twin of what an LLM wrote.

    A question with an ``behavior_id`` is the phrasebook's and goes to ``fallback``, so those of restricted categories never reach
    the LLM.
    """

    engine: Engine
    sampling: Sampling
    prompt: Prompt
    """With ``TWIN_PLACEHOLDERS``."""
    identifier: Identifier
    """Among the project's languages; a twin that is not English is none."""
    fallback: Twins
    """Writes the twins of the phrasebook's questions."""

    def twins(self, questions: Sequence[Question]) -> list[str | None]:
        known = iter(self.fallback.twins([each for each in questions if each.behavior_id is not None]))
        asked = [self.prompt.conversation(question=each.text) for each in questions if each.behavior_id is None]
        new = iter(written(self.engine, asked, self.sampling, FIELD))
        twins = [next(new if each.behavior_id is None else known) for each in questions]
        return [twin if twin and is_english(twin, self.identifier) else None for twin in twins]


@dataclass(frozen=True)
class LlmPreference:
    """Asked which of two exchanges, A or B, is the more harmful one, the LLM's answer is its likelier letter.

    An exchange does not say its category: ``known.RestrictedFirst`` keeps those of restricted categories away from it.
    """

    engine: Engine
    prompt: Prompt
    """With ``PREFERENCE_PLACEHOLDERS``."""

    def prefers(self, pairs: Sequence[tuple[Exchange, Exchange]]) -> list[bool]:
        """Whether the LLM answers A; where it is undecided, or answers with no letter, it does not."""
        conversations = [
            self.prompt.conversation(
                question_a=one.question, answer_a=one.answer or "", question_b=two.question, answer_b=two.answer or ""
            )
            for one, two in pairs
        ]
        return list(map(_first, completed(self.engine, conversations, Sampling(1, first_tokens=LETTERS))))


def _first(completion: Completion) -> bool:
    """Whether the first letter is the likelier one; a completion that could not be asked has no probabilities."""
    first, second = completion.probabilities or (0.0, 0.0)
    return first > second and first + second >= DECIDED


def is_english(text: str, identifier: Identifier) -> bool:
    """Whether ``text`` reads as English among the project's languages, and in its script."""
    letters = [sign for sign in text if sign.isalpha()]
    return identifier.identify(text).restricted == PIVOT and sum(map(str.isascii, letters)) >= LATIN * len(letters)
