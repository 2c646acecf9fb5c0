"""The formats of OpenAI's ``POST /chat/completions`` and ``POST /completions``, which hosted models, vLLM 0.32 and others speak.

A conversation goes to the first, a raw prompt to the second. https://platform.openai.com/docs/api-reference/chat, and below
``vllm/entrypoints/openai/`` the files ``chat_completion/protocol.py`` and ``completion/protocol.py``.
"""

import json
import math
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from refuseu.engines.openai_faults import Blame, Failure
from refuseu.llm.protocol import Completion, Finish, Prompt, Sampling, row_seed

TOP = 20
"""Tokens whose probability a server tells at most: OpenAI's limit, and vLLM's unless started with ``--max-logprobs``."""
FINISHES = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "completed"), Finish.STOP),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use"), Finish.STOP),
    **dict.fromkeys(("length", "max_tokens", "max_length", "model_length", "repetition"), Finish.LENGTH),
    **dict.fromkeys(("content_filter", "content_filtered", "refusal", "safety", "prohibited_content"), Finish.DECLINED),
    **dict.fromkeys(("blocklist", "recitation", "spii", "guardrail_intervened"), Finish.DECLINED),
}
"""How servers say why an answer ends, in lower case."""
BROKEN_OFF = ("abort", "cancelled", "error", "insufficient_system_resource")
"""How they say that it is none."""


ENVELOPE = 2**20
"""Bytes around an answer's tokens at most: the usage, the id, what filters say; some kilobytes are seen. An error has as many."""
BYTES_A_TOKEN = 128 * 6
"""Bytes of JSON for a token at most. The longest tokens of the vocabularies in use are 128 blanks or signs of one byte, and JSON
may write a byte as six characters (``\\u0020``); common tokens have about 4."""
BYTES_A_LIKELIHOOD = 128 * 5 + 256
"""Beside its text, what an entry of ``top_logprobs`` has at most: its bytes as numbers (``255, ``), the names of its entries and
the logarithm."""


def most_bytes(sampling: Sampling) -> int:
    """The largest answer, unpacked, that a server can have made of what was asked for.

    That is the envelope and, for each token that was asked for, its text. Where likelihoods are asked for, those of the token
    itself and of the ``TOP`` likeliest at its place come with it, each with its text and its bytes. So 32 tokens make 1.1 MB at
    most, with likelihoods 2.2 MB.
    """
    likelihoods = (1 + TOP) * (BYTES_A_TOKEN + BYTES_A_LIKELIHOOD) if sampling.first_tokens else 0
    return ENVELOPE + sampling.max_new_tokens * (BYTES_A_TOKEN + likelihoods)


Likelihoods = dict[str, float]
"""Natural-log probability of each of the likeliest tokens at one place, by the token's text."""


class _Token(BaseModel):
    token: str
    logprob: float


class _Place(BaseModel):
    top_logprobs: list[_Token]


class _ChatLogprobs(BaseModel):
    content: list[_Place] | None = None

    def first(self) -> Likelihoods | None:
        return {each.token: each.logprob for each in self.content[0].top_logprobs} if self.content else None


class _TextLogprobs(BaseModel):
    top_logprobs: list[Likelihoods | None] | None = None

    def first(self) -> Likelihoods | None:
        return self.top_logprobs[0] if self.top_logprobs else None


class _Message(BaseModel):
    content: str | None = None
    """``None`` where all tokens went into reasoning, which some servers tell apart, or into the call of a tool."""
    refusal: str | None = None
    tool_calls: Any = None
    function_call: Any = None
    """The same by its older name."""
    reasoning: Any = None
    reasoning_content: Any = None
    """The same by its older name, as of DeepSeek."""

    @property
    def calls_tool(self) -> bool:
        return bool(self.tool_calls or self.function_call)

    @property
    def reasoned(self) -> str:
        texts = (each for each in (self.reasoning, self.reasoning_content) if isinstance(each, str))
        return next(texts, "").strip()


class _Choice(BaseModel):
    finish_reason: str | None = None


class _ChatChoice(_Choice):
    message: _Message
    logprobs: _ChatLogprobs | None = None


class _TextChoice(_Choice):
    text: str
    logprobs: _TextLogprobs | None = None

    @property
    def message(self) -> _Message:
        return _Message(content=self.text)


class _Chat(BaseModel):
    choices: list[_ChatChoice] = Field(min_length=1)


class _Text(BaseModel):
    choices: list[_TextChoice] = Field(min_length=1)


def endpoint(prompt: Prompt) -> str:
    """Where a prompt is sent to, below the server's base URL."""
    return "/completions" if isinstance(prompt, str) else "/chat/completions"


def request_body(model: str, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
    """What is sent; all of it decides the answer, and nothing is left to the server's own defaults that can be said.

    ``max_completion_tokens`` is the name that OpenAI's newer models insist on; ``add_special_tokens`` and
    ``chat_template_kwargs`` are vLLM's.
    """
    body: dict[str, Any] = {
        "model": model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": row_seed(prompt, sampling),
    }
    if isinstance(prompt, str):
        body |= {"prompt": prompt, "max_tokens": sampling.max_new_tokens, "add_special_tokens": False}
        body |= {"logprobs": TOP} if sampling.first_tokens else {}
    else:
        body |= {"messages": prompt, "max_completion_tokens": sampling.max_new_tokens}
        body |= {"logprobs": True, "top_logprobs": TOP} if sampling.first_tokens else {}
        if sampling.chat_template_kwargs is not None:
            body["chat_template_kwargs"] = json.loads(sampling.chat_template_kwargs)
    if sampling.schema is not None:
        schema = {"name": "answer", "strict": True, "schema": json.loads(sampling.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def read_outcome(
    content: bytes, prompt: Prompt, sampling: Sampling, unknown: Callable[[str], None]
) -> Completion | Failure:
    """The completion in the body of an answer to ``prompt``, or why there is none.

    A text whose reason to end nobody here knows is taken as whole, since it is paid for; ``unknown`` is told the reason. An
    answer that is ended and has no text at all (``null``, or the call of a tool in its place) is none.
    """
    kind = _Text if isinstance(prompt, str) else _Chat
    try:
        choice = kind.model_validate_json(content).choices[0]
    except ValidationError as error:
        is_json = error.errors()[0]["type"] != "json_invalid"
        page = "a page for people" if content.lstrip().startswith(b"<") else "no completion"
        return Failure(f"the answer is {page}", Blame.ROW if is_json else Blame.REQUEST)
    message, reason = choice.message, (choice.finish_reason or "").lower()
    text, reasoning = (message.content or "").strip(), message.reasoned
    finish = FINISHES.get(reason)
    if message.refusal or finish is Finish.DECLINED:
        return Completion("", Finish.DECLINED)
    if finish is None and (reason in BROKEN_OFF or not (text or reasoning)):
        return Failure("the server broke the answer off", Blame.MOMENT)
    if not text and message.calls_tool:
        return Failure("the answer is the call of a tool and no text", Blame.ROW)
    if message.content is None and not reasoning and finish is not Finish.LENGTH:
        return Failure("the answer has no text (its content is null)", Blame.ROW)
    if finish is None and reason:
        unknown(reason)
    top = choice.logprobs.first() if choice.logprobs else None
    if sampling.first_tokens and not top:
        return Failure("the answer has no probabilities of tokens", Blame.REQUEST)
    probabilities = tuple(_probability(word, top or {}) for word in sampling.first_tokens)
    return Completion(text, finish or Finish.STOP, probabilities, reasoning=reasoning)


def _probability(word: str, top: Likelihoods) -> float:
    """Of the longest of the ``top`` tokens that ``word`` begins with; 0 when there is none.

    Without the model's tokenizer this is the best guess at the first token of a word that is cut into several.
    """
    beginnings = [token for token in top if token and word.startswith(token)]
    return math.exp(top[max(beginnings, key=len)]) if beginnings else 0.0
