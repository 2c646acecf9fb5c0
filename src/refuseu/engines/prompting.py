"""How a prompt becomes the token ids that a model is asked with, the same for every engine that holds a tokenizer."""

import json
from collections.abc import Sequence
from typing import Any

from refuseu.core.errors import UserError
from refuseu.engines.protocol import Conversation, Prompt, Sampling, user
from refuseu.engines.unasked import UnaskedError

REFUSED = "the chat template refuses them"
REFUSED_OR_LONG = f"{REFUSED}, or they are too long with their answers"
"""Why prompts cannot be asked, and why answers to them cannot be scored."""
WAY_OUT = "'dvc checkout' brings the last good one back"
PLAIN = Sampling(max_new_tokens=0)
"""Nothing is put before the answer, and nothing is given to the template."""


def prompt_tokens(tokenizer: Any, prompt: Prompt, sampling: Sampling = PLAIN) -> list[int]:
    """A raw prompt, or a conversation in the model's own chat template, and what the answer is made to begin with.

    The prefix is encoded by itself, as if the model had just written it: together with the template's last line break it could
    become another token.

    Raises:
        jinja2.TemplateError: for a conversation that the template refuses, such as two user turns in a row.
    """
    text = prompt if isinstance(prompt, str) else _templated(tokenizer, prompt, sampling)
    return text_tokens(tokenizer, text) + text_tokens(tokenizer, sampling.prefix)


def prompts_tokens(
    tokenizer: Any, model: object, prompts: Sequence[Prompt], sampling: Sampling = PLAIN
) -> list[list[int] | None]:
    """``prompt_tokens`` of each; ``None`` for a conversation that the template refuses.

    Raises:
        UserError: when there are conversations, and the tokenizer of ``model`` has no chat template that can be used.
    """
    from jinja2 import TemplateError

    def tokens(prompt: Prompt) -> list[int] | None:
        try:
            return prompt_tokens(tokenizer, prompt, sampling)
        except TemplateError:
            return None

    if not all(isinstance(prompt, str) for prompt in prompts):
        _assert_template(tokenizer, model, sampling)
    return [tokens(prompt) for prompt in prompts]


def _templated(tokenizer: Any, conversation: Conversation, sampling: Sampling) -> str:
    variables = json.loads(sampling.chat_template_kwargs or "{}")
    options = {"add_generation_prompt": True, **variables, "tokenize": False}
    text: str = tokenizer.apply_chat_template(conversation, **options)
    return text


def _assert_template(tokenizer: Any, model: object, sampling: Sampling) -> None:
    """Fail where not even the simplest question can be asked."""
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        raise UserError(f"{model}: the tokenizer has no chat template (chat_template.jinja); add it, or {WAY_OUT}")
    try:
        _templated(tokenizer, user("?"), sampling)
    except TemplateError as error:
        raise UserError(f"{model}: the chat template cannot be used ({error}); mend it, or {WAY_OUT}") from None


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
