"""How a conversation becomes the token ids that a model is asked with, the same for every engine that holds a tokenizer."""

from collections.abc import Sequence
from typing import Any

from refuseu.core.errors import UserError
from refuseu.engines.protocol import Conversation
from refuseu.engines.unasked import UnaskedError

REFUSED = "the chat template refuses them"
REFUSED_OR_LONG = f"{REFUSED}, or they are too long with their answers"
"""Why conversations cannot be asked, and why answers to them cannot be scored."""


def prompt_tokens(tokenizer: Any, conversation: Conversation, prefix: str = "") -> list[int]:
    """The conversation in the model's own chat template, and what the answer is made to begin with.

    The prefix is encoded by itself, as if the model had just written it: together with the template's last line break it could
    become another token.

    Raises:
        jinja2.TemplateError: for a conversation that the template refuses, such as two user turns in a row.
    """
    text = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    return text_tokens(tokenizer, text) + text_tokens(tokenizer, prefix)


def prompt_if_any(tokenizer: Any, conversation: Conversation, prefix: str = "") -> list[int] | None:
    """``prompt_tokens``; ``None`` for a conversation that the template refuses."""
    from jinja2 import TemplateError

    try:
        return prompt_tokens(tokenizer, conversation, prefix)
    except TemplateError:
        return None


def assert_asked(model: object, left: Sequence[int], why: str) -> None:
    """Fail where conversations were ``left``, at these positions.

    Raises:
        UnaskedError: naming the first of them.
    """
    if left:
        raise UnaskedError(f"{model}: conversations ", tuple(left), f" (from 0) cannot be asked: {why}")


def text_tokens(tokenizer: Any, text: str) -> list[int]:
    """Token ids of ``text`` alone: templates write the special tokens themselves, and none may stand there twice."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def first_tokens(tokenizer: Any, words: Sequence[str]) -> list[int]:
    """The first token of each word.

    Raises:
        UserError: when two words begin with the same token, so that their probabilities cannot be told apart.
    """
    firsts: dict[int, str] = {}
    for word in words:
        first = text_tokens(tokenizer, word)[0]
        if first in firsts:
            raise UserError(
                f"the tokenizer begins '{firsts[first]}' and '{word}' with the same token, so the probability of neither can be "
                "told; ask for words that begin differently"
            )
        firsts[first] = word
    return list(firsts)
