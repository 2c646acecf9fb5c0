"""Why a server gave no completion, in words that hold nothing of what was asked, answered or used as a key."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from refuseu.llm.protocol import Completion, Finish

if TYPE_CHECKING:
    from openai import APIError, APIStatusError

REFUSED = {
    401: "the key of {key} is refused (401); export the right one",
    403: "the key of {key} may not use it (403); take another key, or another model in profiles/",
    404: "no such model or address (404); correct `model` in profiles/, or the base URL, which mostly ends in /v1, in machines/",
}
"""Answers to whatever is asked, by status."""
NO_KEY = "a key is wanted ({status}); name the environment variable that holds it as `key` of the model in profiles/"
CODES = {
    "insufficient_quota": "the account has no credit left ({status}, insufficient_quota); top it up",
    "unsupported_parameter": "the model takes no {param} ({status}, unsupported_parameter); take another model",
    "unknown_parameter": "the server knows no {param} ({status}, unknown_parameter); take another server or model",
    "unsupported_value": "the model takes no such {param} ({status}, unsupported_value); take another value or model",
}
"""Likewise, by the error's ``code``."""
UNREACHABLE = "the server cannot be reached; start it, or correct its base URL in machines/"

FILTERED = ("content_filter", "content_policy_violation", "invalid_prompt")
"""Codes of a question that a filter before the model has stopped: Azure's, and two of OpenAI's."""
NOT_FITTING = ("input_tokens", "input_text")
"""What vLLM 0.32 calls the parameter that is too long."""
CONTEXT = re.compile(r"context.?(length|window|size)", re.IGNORECASE)
PLAIN = re.compile(r"[a-z_.]{1,40}")
"""What may be shown of an error's own words: names such as ``invalid_request_error``, no text."""


class Blame(StrEnum):
    """What has to change before the same row can be asked with success."""

    ROW = "row"
    MOMENT = "moment"
    """It may work later, as when the server is overloaded."""
    SERVER = "server"
    """No row can be asked until a person has mended it."""


@dataclass(frozen=True)
class Failure:
    reason: str
    blame: Blame


def outcome_of(error: "APIError", key: str | None) -> Completion | Failure:
    """What an error of the client means for the row that it came from.

    ``key`` is the name of the environment variable. A question that is too long or filtered is an outcome of its row.
    """
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        return _answered(error, key)
    if isinstance(error, APIConnectionError):
        return _connection(error)
    return Failure(f"the client gave up ({type(error).__name__})", Blame.ROW)


def _connection(error: Exception) -> Failure:
    from httpx2 import ConnectError, ConnectTimeout
    from openai import APITimeoutError

    if isinstance(error.__cause__, (ConnectError, ConnectTimeout)):
        return Failure(UNREACHABLE, Blame.SERVER)
    if isinstance(error, APITimeoutError):
        return Failure("no answer in time", Blame.MOMENT)
    return Failure("the connection broke off", Blame.MOMENT)


def _answered(error: "APIStatusError", key: str | None) -> Completion | Failure:
    status, code = error.status_code, error.code or ""
    if code in FILTERED:
        return Completion("", Finish.DECLINED)
    if status == 400 and _too_long(error):
        return Completion("", Finish.TOO_LONG)
    if status in (401, 403) and key is None:
        return Failure(NO_KEY.format(status=status), Blame.SERVER)
    if sentence := REFUSED.get(status) or CODES.get(code):
        words = {"status": status, "key": key, "param": _plain(error.param) or "parameter"}
        return Failure(sentence.format(**words), Blame.SERVER)
    named = ", ".join(filter(None, (str(status), _plain(code), _plain(error.param))))
    passing = status in (408, 409, 429) or status >= 500
    return Failure(f"the server answers {named}", Blame.MOMENT if passing else Blame.ROW)


def _too_long(error: "APIStatusError") -> bool:
    told = error.code == "context_length_exceeded" or error.param in NOT_FITTING
    return told or CONTEXT.search(error.message) is not None


def _plain(word: Any) -> str:
    return word if isinstance(word, str) and PLAIN.fullmatch(word) else ""
