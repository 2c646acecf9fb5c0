"""Has a model write one line, and takes from what it says the line alone.

Models babble: they repeat what they were told, decline, go on after the line, or are cut at the length. None of that is ever
taken for the line.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from refuseu.llm.protocol import Completion, Conversation, Engine, Finish, Sampling, completed
from refuseu.text.normal import plain, writable

QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "„": "“", "«": "»", "»": "«", "‚": "‘"}
"""Opening quotation mark to the closing one."""
MARKUP = " \t*_#>`"
"""Signs of Markdown around a line."""
VERBS = (
    "help|assist|provide|write|create|generate|produce|rewrite|fulfill?|comply|engage|translate|answer|discuss|offer|respond|"
    "continue|process|support (?:this|that|such)|do (?:that|this|so|it)"
)
SORRY = r"(?:(?:i'm|i am|we are) )?(?:so |very )?sorry|(?:my )?apologies|i (?:do )?apologi[sz]e|unfortunately|regrettably|no"
AI = r"as an? (?:\w+ )?(?:ai|artificial intelligence|(?:large )?language model|assistant)\b[\w ]*"
DECLINES = re.compile(
    rf"(?:(?:{SORRY})\b(?: \w+)?[,.:;]? ?(?:but |however,? )?)?(?:{AI}, i\b|(?:{AI},? )?"
    r"(?:"
    r"(?:(?:i|we) (?:\w+ )?)?(?:can ?not|can't|won't|will not|(?:am|are|'m|'re)?(?: not able| unable) to|do not|don't) "
    rf"(?:\w+ )?(?:{VERBS})\b(?! but)"
    r"|i(?: am|'m) (?:\w+ )?(?:unable|not (?:able|allowed|permitted|comfortable|designed|programmed|willing|going))\b"
    r"|i (?:do not|don't) feel comfortable\b"
    r"|i(?: must| have to| need to| will have to|'ll have to| would|'d)?(?: \w+)? (?:decline|refuse|rather not)\b"
    r"|(?:this|that|it|your request|the request|this request)(?: is|'s)? (?:\w+ )?(?:goes |not something i|against|violates)\b"
    r"|my (?:\w+ )?(?:guidelines|programming|policy|policies|values)\b"
    r"|(?:request|response) (?:denied|declined|refused)"
    r"))"
)
"""How models decline to write, at the start of what they say, in English and lower case; what else matches is lost."""
LONGEST = 60
"""The largest number of words of a line that declines."""
OFFERS = re.compile(
    r"(?:is there|can i|could i|may i|how (?:can|may|else can) i|what else|would you like|do you have)\b[^?]*\?"
)
"""Questions that a model asks after it declined."""
ASKS = re.compile(r"\?|\b(?:tell|show|teach|give|walk|guide|help) (?:me|us)\b|\bexplain\b")
"""What a line that asks for something holds. People in need say "I can't" as well."""


def written(engine: Engine, conversations: Sequence[Conversation], sampling: Sampling, field: str) -> list[str | None]:
    """The line that each conversation asks for, in order; ``None`` where the model wrote none that could be told for sure.

    Asked for is a JSON object whose only entry is ``field``; engines that can, force it. Of plain text, a line that is labelled
    with the field's name is taken, or the only line there is.
    """
    schema = json.dumps(strict_schema({field: {"type": "string"}}))
    completions = completed(engine, conversations, replace(sampling, schema=schema))
    return [_line(each, asked, field) for each, asked in zip(completions, conversations, strict=True)]


def strict_schema(entries: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object that has ``entries`` and no others, as strict structured output takes it."""
    return {"type": "object", "properties": entries, "required": list(entries), "additionalProperties": False}


def json_object(completion: Completion) -> dict[str, Any] | None:
    """The JSON object in a whole completion, whatever stands around it; ``None`` where there is none."""
    text = ended(completion)
    try:
        value = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def ended(completion: Completion) -> str:
    """The text that the model ended by itself; empty for one that was cut, and where none was given."""
    return completion.text.strip() if completion.finish is Finish.STOP else ""


def repeats(text: str, conversation: Conversation) -> bool:
    """Whether ``text`` stands in what was asked, in the form of ``plain``."""
    return any(plain(text) in plain(message["content"]) for message in conversation)


def _line(completion: Completion, conversation: Conversation, field: str) -> str | None:
    text = ended(completion)
    line = " ".join((_entry(completion, field) if "{" in text else _plain(text, field)).split())
    if not any(map(str.isalpha, line)) or _declines(line) or repeats(line, conversation) or not writable(line):
        return None
    return line


def _entry(completion: Completion, field: str) -> str:
    value = json_object(completion)
    entry = value[field] if value and list(value) == [field] else ""
    return entry if isinstance(entry, str) else ""


def _plain(text: str, field: str) -> str:
    """The labelled line, or the only one that does not announce another; empty where several are left."""
    lines = text.splitlines()
    label = re.compile(rf"[\s*_#>`]*{field}[\s*_]*:(.*)", re.IGNORECASE)
    labelled = [bare for line in lines if (match := label.match(line)) and (bare := _bare(match[1]))]
    left = labelled or [bare for bare in map(_bare, lines) if bare and not bare.endswith(":")]
    return left[0] if len(left) == 1 else ""


def _bare(line: str) -> str:
    """The line without Markdown and quotation marks around it."""
    bare = line.strip(MARKUP)
    quoted = len(bare) > 1 and QUOTES.get(bare[0]) == bare[-1]
    return bare[1:-1].strip() if quoted else bare


def _declines(line: str) -> bool:
    said = plain(line).replace("’", "'")
    if not DECLINES.match(said) or len(said.split()) > LONGEST:
        return False
    return ASKS.search(OFFERS.sub("", said)) is None
