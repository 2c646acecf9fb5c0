"""What every engine offers, whatever runs below it: prompts in, completions out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Protocol, Self

Message = dict[str, str]
"""``role`` and ``content``, as chat templates take it."""
Conversation = list[Message]
Prompt = Conversation | str
"""What a model is asked: a conversation, which the model's chat template writes out, or a raw prompt.

A raw prompt is tokenised as it stands, without the chat template and without special tokens around it; special tokens that are
written in its text are recognised. Where a part of it comes from outside it is a ``RawPrompt``.
"""


class RawPrompt(str):
    """A raw prompt that knows its parts: every second one comes from outside, and no special token is recognised in it.

    So guards without a template of their own are asked, as WildGuard is.
    """

    parts: tuple[str, ...]

    def __new__(cls, *parts: str) -> Self:
        prompt = super().__new__(cls, "".join(parts))
        prompt.parts = parts
        return prompt

    def begun(self, answer: str) -> Self:
        """The prompt, whose last part is ours, and what the answer begins with; in that too no special token is recognised."""
        return type(self)(*self.parts, answer)


class Finish(StrEnum):
    """Why a completion ends where it does."""

    STOP = "stop"
    """The model ended it."""
    LENGTH = "length"
    """It was cut at ``max_new_tokens``."""
    TOO_LONG = "too long"
    """The prompt does not fit into the model, so nothing was generated."""
    DECLINED = "declined"
    """The service in front of the model gave no answer: a filter, or a refusal of its own kind."""
    FAILED = "failed"
    """The row could not be asked; it is not kept, and asked again by the next run."""


@dataclass(frozen=True)
class Sampling:
    """How a completion is drawn; all of it decides what comes out."""

    max_new_tokens: int
    temperature: float = 0.0
    """0 takes the likeliest token each time (greedy)."""
    top_p: float = 1.0
    """Share (0-1) of the probability that tokens are drawn from; 1 leaves none out."""
    seed: int = 0
    """Each prompt draws by itself, from ``row_seed``, so it does not matter which others are asked with it."""
    prefix: str = ""
    """What the completion is made to begin with; it is not part of the completion's text."""
    first_tokens: tuple[str, ...] = ()
    """Words whose probability as the next token is asked for; a word of several tokens counts by its first."""
    schema: str | None = None
    """A JSON schema, as text, that the completion should follow; engines that can, force it."""
    chat_template_kwargs: str | None = None
    """A JSON object, as text, whose entries the chat template gets as variables; a raw prompt has no template."""


@dataclass(frozen=True)
class Completion:
    """What a model made of one prompt."""

    text: str
    """The answer, without special tokens and surrounding white space; empty for a model that was cut while it reasoned."""
    finish: Finish = Finish.STOP
    probabilities: tuple[float, ...] = ()
    """Of each of ``Sampling.first_tokens`` as the first token, 0-1 over the whole vocabulary."""
    reason: str = ""
    """Why it failed, as a clause that holds nothing of what was asked or answered."""
    reasoning: str = ""
    """What the model reasoned before the answer."""


@dataclass(frozen=True)
class Failed:
    """In place of a log-likelihood that could not be computed."""

    reason: str
    """As ``Completion.reason``."""


class Engine(Protocol):
    """A model as the stages ask it: a row is done, or an error tells at the end that it failed."""

    @property
    def identity(self) -> str:
        """All that decides what the model says, in one text; known before the model is loaded."""

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        """Yield (position, completion) as they get done, in any order; none of them has failed.

        Raises:
            UserError: at the end, with the rows that failed, and before it for what stops all rows.
        """

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterable[tuple[int, float]]:
        """Yield (position, natural-log likelihood of the continuation as the answer, summed over its tokens)."""


class RowEngine(Protocol):
    """What runs or reaches a model. A row that fails is an outcome like others; an error is what stops all rows."""

    @property
    def identity(self) -> str:
        """As ``Engine.identity``."""

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        """Yield (position, completion) for every prompt as it gets done, in any order.

        Reasoning that a server does not tell apart stands in the text, in the model's own marks (``llm.reasoning``).

        Raises:
            UserError: when no further row can be asked, after those under way were yielded.
        """

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterable[tuple[int, float | Failed]]:
        """Yield (position, natural-log likelihood of the continuation as the answer, summed over its tokens).

        Raises:
            UserError: as ``complete``.
        """


class LoadedEngine(RowEngine, Protocol):
    """A model that takes memory."""

    def adapted(self, folder: Path, identity: str) -> RowEngine:
        """The same loaded model with the LoRA adapter in ``folder``, in peft's format; the model itself stays as it is."""

    def close(self) -> None:
        """Give all memory back; neither this engine nor one that was adapted from it can be asked any more."""


def user(text: str) -> Conversation:
    """A conversation of one user turn."""
    return [{"role": "user", "content": text}]


def row_seed(prompt: Prompt, sampling: Sampling) -> int:
    """The seed (below 2**31) that one prompt is drawn with: it follows from the prompt and ``sampling.seed``."""
    return int.from_bytes(sha256(repr((sampling.seed, prompt)).encode()).digest()[:4], "big") >> 1


def completed(engine: Engine, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion]:
    """One completion a prompt, in order."""
    done = dict(engine.complete(prompts, sampling))
    return [done[position] for position in range(len(prompts))]


def asked_alone(engine: Engine, texts: Sequence[str], sampling: Sampling) -> list[str]:
    """What is answered to each text, put as the only turn of a conversation."""
    return [completion.text for completion in completed(engine, [user(text) for text in texts], sampling)]
