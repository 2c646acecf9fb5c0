"""Token ids of texts from outside, in which no special token stands.

A question or an answer may spell a special token, such as ``<|im_end|>``, and what a turn begins with. A tokenizer takes these
letters for the token, and the model then reads turns that nobody took: a question answers itself, a judge is told its verdict. So
what comes from outside is cut after the first letter of every special token that it spells, and the pieces are encoded one by
one. The model reads the same letters and no token. Where nothing is spelled nothing is cut, and the ids are those of the whole
text. (A tokenizer of SentencePiece's kind puts a space before each piece: ``< |im_end|>``.)

The cut is made before the chat template writes the conversation. A template that trims contents still does, and one that looks
for tokens in them, such as one that drops what stands before ``</think>``, finds none.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from refuseu.weights.template import rendered

CUTS = range(0xE000, 0xF900)
"""Code points that stand where a text is cut: Unicode gives them no meaning, and the first that no text holds is taken."""
SPELLED = re.compile(
    r"<\|[^<>|]*\|?>|<[^<>|\s]*\|>|<｜[^<>]*｜>"
    r"|</?(?:s|bos|eos|pad|unk|mask|cls|sep|sop|eop|image|(?:\w+:)?think|unused\d+|\w*_\w*)>"
    r"|\[/?[a-z]?[A-Z][A-Z_]+\]|<</?SYS>>|>>[A-Z]+<<"
)
"""What the special tokens of published tokenizers look like, for those who know none of the tokenizer."""


def key_of_cuts(texts: Iterable[str]) -> dict[str, str]:
    """What the key of a row has more where one of the row's ``texts`` may be cut.

    Rows from before anything was cut are then asked again, and all others are found.
    """
    return {"contents": "cut"} if any(map(SPELLED.search, texts)) else {}


def text_tokens(tokenizer: Any, text: str) -> list[int]:
    """Token ids of ``text`` alone, special tokens among them: templates write them, and none may stand there twice."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def conversation_tokens(
    tokenizer: Any, called: str, conversation: Sequence[Mapping[str, str]], **options: Any
) -> list[int]:
    """Token ids of a conversation in the chat template; no content of it becomes a special token.

    Arguments and errors are those of ``rendered``.
    """
    cut = _unused(turn["content"] for turn in conversation)
    turns = [{**turn, "content": spelled_apart(tokenizer, turn["content"], cut)} for turn in conversation]
    return _pieces_tokens(tokenizer, rendered(tokenizer, called, turns, **options), cut)


def parts_tokens(tokenizer: Any, parts: Sequence[str]) -> list[int]:
    """Token ids of the whole text of ``parts``. Every second of them comes from outside, and becomes no special token."""
    cut = _unused(parts)
    text = "".join(spelled_apart(tokenizer, part, cut) if place % 2 else part for place, part in enumerate(parts))
    return _pieces_tokens(tokenizer, text, cut)


def spelled_apart(tokenizer: Any, text: str, cut: str) -> str:
    """``text`` with ``cut`` after the first letter of every special token that it spells, those that overlap too."""
    pattern = _tokens(tokenizer)
    return pattern.sub(rf"\g<0>{cut}", text) if pattern else text


def _pieces_tokens(tokenizer: Any, text: str, cut: str) -> list[int]:
    return [token for piece in text.split(cut) for token in text_tokens(tokenizer, piece)]


def _unused(texts: Iterable[str]) -> str:
    held = set[str]().union(*texts)
    return next(cut for cut in map(chr, CUTS) if cut not in held)


@lru_cache(maxsize=2)
def _tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """Finds the first letter of each special token, and of each added one that the chat template writes, such as ``<think>``.

    Other added tokens are words to a model (Gemma has ``<table>`` and runs of blanks among them), and stay whole.
    """
    template = str(tokenizer.chat_template)
    added = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or (token.content.strip() and token.content in template)
    ]
    rest: dict[str, list[str]] = {}
    for first, *others in sorted({text for text in added if len(text) > 1}):
        rest.setdefault(re.escape(first), []).append(re.escape("".join(others)))
    # By the first letter: a vocabulary may have a thousand of them, to be looked for at each letter of an answer.
    return re.compile("|".join(f"{first}(?={'|'.join(texts)})" for first, texts in rest.items())) if rest else None
