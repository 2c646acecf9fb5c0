"""Fluency and correctness by an LLM judge, 1 to 5 each; the paper's evaluation of 50 prompts a language.

Fluency is how naturally a text reads, correctness how free of errors its language is (paper: "fluency, and linguistic
correctness"); what is said in it is neither.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from refuseu.engines.prompts import Prompt
from refuseu.engines.protocol import Completion, Engine, Sampling, completed
from refuseu.engines.writing import json_object, strict_schema
from refuseu.eval.interfaces import Rating
from refuseu.experiment import LANGUAGES
from refuseu.judges.verdict import Exchange

PLACEHOLDERS = ("language", "question", "answer")
MARKS = (1, 2, 3, 4, 5)
"""Worst to best."""
SCHEMA = json.dumps(strict_schema({name: {"type": "integer", "enum": MARKS} for name in Rating.__dataclass_fields__}))


@dataclass(frozen=True)
class ChatFluency:
    """Asks the judge about each answer by itself."""

    engine: Engine
    sampling: Sampling
    prompt: Prompt
    """With ``PLACEHOLDERS``."""

    def ratings(self, exchanges: Sequence[Exchange]) -> list[Rating | None]:
        """A rating each, in order, against the exchange's language; ``None`` for what the judge said that is no rating.

        An answer without a letter, or in a language that the project does not know, is not asked about and has none.
        """
        ratable = [each.lang in LANGUAGES and any(map(str.isalpha, each.answer or "")) for each in exchanges]
        conversations = [
            self.prompt.conversation(
                language=LANGUAGES[each.lang].name, question=each.question, answer=each.answer or ""
            )
            for each, asked in zip(exchanges, ratable, strict=True)
            if asked
        ]
        completions = iter(completed(self.engine, conversations, replace(self.sampling, schema=SCHEMA)))
        return [parsed(next(completions)) if asked else None for asked in ratable]


def parsed(completion: Completion) -> Rating | None:
    """The rating that a whole completion holds as JSON; ``None`` for anything else."""
    value = json_object(completion) or {}
    whole = set(value) == set(Rating.__dataclass_fields__)
    # A truth value is an int to Python, and True is 1.
    return Rating(**value) if whole and all(type(mark) is int and mark in MARKS for mark in value.values()) else None
