"""Why a server gave no completion, in words that hold nothing of what was asked, answered or used as a key."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from refuseu.core.network import UntakenError, place_of
from refuseu.llm.protocol import Completion, Finish

if TYPE_CHECKING:
    from openai import APIError, APIStatusError

REFUSED = {
    401: "the key of {key} is refused (401); export the right one",
    402: "the account has no credit left (402); top it up",
    403: "the key of {key} may not use it (403); take another key, or another model in profiles/",
    404: "no such model or address (404); correct `model` in profiles/, or the base URL, which mostly ends in /v1, in machines/",
}
"""Answers to whatever is asked, by status."""
NO_KEY = "a key is wanted ({status}); name the environment variable that holds it as `key` of the model in profiles/"
SENT_ON = (
    "the server sends requests on to {place} ({status}), where nothing was sent; if that is your server, write its address into "
    "machines/ as the base URL"
)
CODES = {
    "model_not_found": "no such model ({status}, model_not_found); correct `model` in profiles/",
    "insufficient_quota": "the account has no credit left ({status}, insufficient_quota); top it up",
    "unsupported_parameter": "the model takes no {param} ({status}, unsupported_parameter); take another model",
    "unknown_parameter": "the server knows no {param} ({status}, unknown_parameter); take another server or model",
    "unsupported_value": "the model takes no such {param} ({status}, unsupported_value); take another value or model",
}
"""Likewise, by the error's ``code``."""
OTHER_SERVER = (
    "take a server and a model for such requests, or correct the base URL, which mostly ends in /v1, in machines/"
)
UNREACHABLE = "the server cannot be reached; start it, or correct its base URL in machines/"

FILTERED = ("content_filter", "content_policy_violation", "invalid_prompt")
"""Codes of a question that a filter before the model has stopped: Azure's, and two of OpenAI's."""
NOT_FITTING = ("input_tokens", "input_text")
"""What vLLM 0.32 calls the parameter that is too long."""
CONTEXT = re.compile(r"context.?(length|window|size)", re.IGNORECASE)
PLAIN = re.compile(r"[a-z_.]{1,40}")
"""What may be shown of an error's own words: names such as ``invalid_request_error``, no text."""
MISUNDERSTOOD = (405, 406, 415, 422)
"""Statuses by which a server says that it does not take such requests, whatever they ask."""
SENT = re.compile(
    r"\b(temperature|top_p|seed|max_completion_tokens|max_tokens|add_special_tokens|top_logprobs|logprobs|"
    r"chat_template_kwargs|response_format)\b"
)
"""What is sent in the same words for many rows, as the text of an error may name it."""
LONGEST_WAIT = 120
"""Seconds of ``Retry-After`` that the client waits at most."""
PROBES = 3
"""Rows in a row, the first ones of all, that fail before a server is given up that has answered none."""
PATIENCE = 20
"""The same for a server that has, each row after all its retries: it has other troubles than a row."""


class Blame(StrEnum):
    """What has to change before the same row can be asked with success."""

    ROW = "row"
    MOMENT = "moment"
    """It may work later, as when the server is overloaded."""
    REQUEST = "request"
    """The server takes no such request, or answers in another format: no row can be asked, unless one was answered before."""
    SERVER = "server"
    """No row can be asked until a person has mended it."""


@dataclass(frozen=True)
class Failure:
    reason: str
    blame: Blame


class Trust:
    """Whether a server is asked on.

    Until it has answered one row, rows are asked one at a time, and a fault that others would meet too ends the work at once: a
    server that is asked in a wrong way may bill each row. A row that is too long or filtered shows neither good nor bad.
    """

    def __init__(self) -> None:
        self.answered = False
        self._failed = 0

    def heard(self, outcome: Completion | Failure) -> Completion | Failure:
        """The outcome of a row, with the blame on the server where no other row shall be asked."""
        if isinstance(outcome, Completion):
            self.answered |= outcome.finish in (Finish.STOP, Finish.LENGTH)
            self._failed = 0 if self.answered else self._failed
            return outcome
        own = outcome.blame is Blame.ROW and self.answered
        self._failed = 0 if own else self._failed + 1
        if outcome.blame is Blame.REQUEST and not self.answered:
            return Failure(f"{outcome.reason}; {OTHER_SERVER}", Blame.SERVER)
        if self._failed >= (PATIENCE if self.answered else PROBES):
            return Failure(f"{self._failed} rows failed one after the other, and {outcome.reason}", Blame.SERVER)
        return outcome


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


def untaken(error: UntakenError) -> Failure:
    """What the body of an answer that was not taken means for its row. It is paid for, so the row is not asked again at once."""
    return Failure(f"the answer {error}", Blame.REQUEST)


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
    if 300 <= status < 400:
        location = error.response.headers.get("location")
        place = (location and place_of(location, str(error.request.url))) or "another address"
        return Failure(SENT_ON.format(place=place, status=status), Blame.SERVER)
    if status in (401, 403) and key is None:
        return Failure(NO_KEY.format(status=status), Blame.SERVER)
    if sentence := REFUSED.get(status) or CODES.get(code):
        words = {"status": status, "key": key, "param": _plain(error.param) or "parameter"}
        return Failure(sentence.format(**words), Blame.SERVER)
    wait = error.response.headers.get("retry-after", "")
    if wait.isdecimal() and int(wait) > LONGEST_WAIT:
        return Failure(f"the server asks to wait for {int(wait)} seconds ({status}); run it again then", Blame.SERVER)
    sent = SENT.search(_words(error))
    param = _plain(error.param) or (sent[0] if sent and status in (400, 422) else "")
    named = ", ".join(filter(None, (str(status), _plain(code), param)))
    return Failure(f"the server answers {named}", _blame(status, param))


def _blame(status: int, param: str) -> Blame:
    if status in (408, 409, 429) or status >= 500:
        return Blame.MOMENT
    return Blame.REQUEST if status in MISUNDERSTOOD or param == "model" or SENT.fullmatch(param) else Blame.ROW


def _too_long(error: "APIStatusError") -> bool:
    told = error.code == "context_length_exceeded" or error.param in NOT_FITTING
    return told or CONTEXT.search(_words(error)) is not None


def _words(error: "APIStatusError") -> str:
    """All that the server says; the client takes its words from the body of OpenAI's own format alone."""
    return f"{error.message} {error.body}"


def _plain(word: Any) -> str:
    return word if isinstance(word, str) and PLAIN.fullmatch(word) else ""
