"""The format of OpenAI's ``POST /chat/completions``, which hosted models, vLLM 0.32 and other servers speak.

https://platform.openai.com/docs/api-reference/chat, and ``vllm/entrypoints/openai/chat_completion/protocol.py``.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from refuseu.engines.protocol import Completion, Conversation, Finish, Sampling, row_seed

TOP = 20
"""Tokens whose probability a server tells at most: OpenAI's limit, and vLLM's unless started with ``--max-logprobs``."""
FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH, "content_filter": Finish.DECLINED}


class MalformedError(ValueError):
    """The server's answer lacks what was asked for; the text says what, and nothing of the answer."""


class _Token(BaseModel):
    token: str
    logprob: float


class _Place(BaseModel):
    top_logprobs: list[_Token]


class _Logprobs(BaseModel):
    content: list[_Place] | None = None


class _Message(BaseModel):
    content: str | None = None
    """``None`` where all tokens went into reasoning, which some servers tell apart."""
    refusal: str | None = None


class _Choice(BaseModel):
    finish_reason: Literal["stop", "length", "content_filter"]
    message: _Message
    logprobs: _Logprobs | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


def request_body(model: str, conversation: Conversation, sampling: Sampling) -> dict[str, Any]:
    """What is sent; all of it decides the answer, and nothing is left to the server's own defaults that can be said.

    ``max_completion_tokens`` is the name that OpenAI's newer models insist on.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": conversation,
        "max_completion_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": row_seed(conversation, sampling),
    }
    if sampling.first_tokens:
        body |= {"logprobs": True, "top_logprobs": TOP}
    if sampling.schema is not None:
        schema = {"name": "answer", "strict": True, "schema": json.loads(sampling.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def read_completion(content: bytes, sampling: Sampling) -> Completion:
    """The completion in the body of an answer.

    Raises:
        MalformedError: for a body that is no chat completion, or lacks the probabilities that were asked for.
    """
    try:
        choice = _Answer.model_validate_json(content).choices[0]
    except ValueError:
        raise MalformedError("the answer is no chat completion") from None
    finish = FINISHES[choice.finish_reason]
    if choice.message.refusal or finish is Finish.DECLINED:
        return Completion("", Finish.DECLINED)
    text = (choice.message.content or "").strip()
    return Completion(text, finish, _first_probabilities(choice.logprobs, sampling.first_tokens))


def _first_probabilities(logprobs: _Logprobs | None, words: Sequence[str]) -> tuple[float, ...]:
    if not words:
        return ()
    if logprobs is None or not logprobs.content:
        raise MalformedError("the answer has no probabilities of tokens")
    top = logprobs.content[0].top_logprobs
    return tuple(_probability(word, top) for word in words)


def _probability(word: str, top: Sequence[_Token]) -> float:
    """Of the longest of the ``top`` tokens that ``word`` begins with; 0 when there is none.

    Without the model's tokenizer this is the best guess at the first token of a word that is cut into several.
    """
    beginnings = [each for each in top if each.token and word.startswith(each.token)]
    return math.exp(max(beginnings, key=lambda each: len(each.token)).logprob) if beginnings else 0.0
