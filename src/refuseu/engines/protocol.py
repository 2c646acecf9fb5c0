"""What every engine offers, whatever runs below it: conversations in, completions out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Protocol

Message = dict[str, str]
"""``role`` and ``content``, as chat templates take it."""
Conversation = list[Message]


class Finish(StrEnum):
    """Why a completion ends where it does."""

    STOP = "stop"
    """The model ended it."""
    LENGTH = "length"
    """It was cut at ``max_new_tokens``."""
    TOO_LONG = "too long"
    """The conversation does not fit into the model, so nothing was generated."""
    DECLINED = "declined"
    """The service in front of the model gave no answer: a filter, or a refusal of its own kind."""


@dataclass(frozen=True)
class Sampling:
    """How a completion is drawn; all of it decides what comes out."""

    max_new_tokens: int
    temperature: float = 0.0
    """0 takes the likeliest token each time (greedy)."""
    top_p: float = 1.0
    """Share (0-1) of the probability that tokens are drawn from; 1 leaves none out."""
    seed: int = 0
    """Each conversation draws by itself, from ``row_seed``, so it does not matter which others are asked with it."""
    prefix: str = ""
    """What the completion is made to begin with; it is not part of the completion's text."""
    first_tokens: tuple[str, ...] = ()
    """Words whose probability as the next token is asked for; a word of several tokens counts by its first."""
    schema: str | None = None
    """A JSON schema, as text, that the completion should follow; engines that can, force it."""


@dataclass(frozen=True)
class Completion:
    """What a model made of one conversation."""

    text: str
    """Without special tokens and surrounding white space."""
    finish: Finish = Finish.STOP
    probabilities: tuple[float, ...] = ()
    """Of each of ``Sampling.first_tokens`` as the first token, 0-1 over the whole vocabulary."""


class Engine(Protocol):
    """A model that can be asked."""

    @property
    def identity(self) -> str:
        """All that decides what the model says, in one text; known before the model is loaded."""

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        """Yield (position, completion) as they get done, in any order.

        Raises:
            UserError: at the end, after all others were yielded, naming the conversations that could not be asked.
        """

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterable[tuple[int, float]]:
        """Yield (position, natural-log likelihood of the continuation as the answer, summed over its tokens)."""


class LoadedEngine(Engine, Protocol):
    """A model that takes memory."""

    def adapted(self, folder: Path, identity: str) -> Engine:
        """The same loaded model with the LoRA adapter in ``folder``, in peft's format; the model itself stays as it is."""

    def close(self) -> None:
        """Give all memory back; neither this engine nor one that was adapted from it can be asked any more."""


def user(text: str) -> Conversation:
    """A conversation of one user turn."""
    return [{"role": "user", "content": text}]


def row_seed(conversation: Conversation, sampling: Sampling) -> int:
    """The seed (below 2**31) that one conversation is drawn with: it follows from the conversation and ``sampling.seed``."""
    return int.from_bytes(sha256(repr((sampling.seed, conversation)).encode()).digest()[:4], "big") >> 1


def completed(engine: Engine, conversations: Sequence[Conversation], sampling: Sampling) -> list[Completion]:
    """One completion a conversation, in order."""
    done = dict(engine.complete(conversations, sampling))
    return [done[position] for position in range(len(conversations))]


def asked_alone(engine: Engine, texts: Sequence[str], sampling: Sampling) -> list[str]:
    """What is answered to each text, put as the only turn of a conversation."""
    return [completion.text for completion in completed(engine, [user(text) for text in texts], sampling)]
