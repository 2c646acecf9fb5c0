"""How a prompt becomes the token ids that a model is asked with, the same for every engine that holds a tokenizer."""

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from refuseu.core.errors import UserError
from refuseu.llm.protocol import Completion, Conversation, Failed, Finish, Prompt, Sampling, user
from refuseu.llm.reasoning import MARKS, OPENINGS
from refuseu.weights.reference import ModelReference
from refuseu.weights.template import rendered

REFUSED = "the chat template refuses the conversation"
TOO_LONG = "the conversation is too long with its answer"
EMPTY = "the prompt has no tokens"
NOT_FINITE = "the model computes numbers that are not finite"
"""Why a row fails, in the words of ``Completion.reason``."""
TAIL = 32
"""Tokens at the end of a prompt that hold the longest of ``OPENINGS`` and a line break, though each letter be a token."""
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


Rows = dict[int, list[int]]
"""Token ids by the row's position."""


def rows_to_ask(
    tokenizer: Any, model: ModelReference, prompts: Sequence[Prompt], sampling: Sampling, limit: int
) -> tuple[Rows, dict[int, Completion]]:
    """The prompts that leave room for an answer among ``limit`` tokens, and the outcomes of the others.

    Raises:
        UserError: when there are conversations, and the tokenizer of ``model`` has no chat template that can be used.
    """
    ids = list(enumerate(_prompts_tokens(tokenizer, model, prompts, sampling)))
    failed = {
        place: Completion("", Finish.FAILED, reason=REFUSED if row is None else EMPTY) for place, row in ids if not row
    }
    too_long = {place: Completion("", Finish.TOO_LONG) for place, row in ids if row and len(row) >= limit}
    return {place: row for place, row in ids if row and len(row) < limit}, failed | too_long


def rows_to_score(
    tokenizer: Any, model: ModelReference, pairs: Sequence[tuple[Prompt, str]], limit: int
) -> tuple[Rows, list[int], dict[int, Failed]]:
    """Prompts and their answers that have at most ``limit`` tokens, the tokens of each answer, and the outcomes of the others.

    Raises:
        UserError: as ``rows_to_ask``.
    """
    prompts = _prompts_tokens(tokenizer, model, [prompt for prompt, _ in pairs], PLAIN)
    answers = [text_tokens(tokenizer, text) for _, text in pairs]
    rows = {place: row + answers[place] for place, row in enumerate(prompts) if row is not None}
    failed = {place: Failed(REFUSED) for place in range(len(pairs)) if place not in rows}
    failed |= {place: Failed(TOO_LONG) for place, row in rows.items() if len(row) > limit}
    return {place: row for place, row in rows.items() if place not in failed}, [*map(len, answers)], failed


def _prompts_tokens(
    tokenizer: Any, model: ModelReference, prompts: Sequence[Prompt], sampling: Sampling
) -> list[list[int] | None]:
    """``prompt_tokens`` of each; ``None`` for a conversation that the template refuses."""
    from jinja2 import TemplateError

    def tokens(prompt: Prompt) -> list[int] | None:
        try:
            return prompt_tokens(tokenizer, prompt, sampling)
        except TemplateError:
            return None

    if not all(isinstance(prompt, str) for prompt in prompts):
        assert_template(tokenizer, model, sampling)
    return [tokens(prompt) for prompt in prompts]


def _templated(tokenizer: Any, conversation: Conversation, sampling: Sampling, called: str | None = None) -> str:
    variables = json.loads(sampling.chat_template_kwargs or "{}")
    named = called or str(tokenizer.name_or_path)
    return rendered(tokenizer, named, conversation, **{"add_generation_prompt": True, **variables})


def assert_template(tokenizer: Any, model: ModelReference, sampling: Sampling = PLAIN) -> None:
    """Fail where not even the simplest question can be asked.

    Raises:
        UserError: without a chat template, and with one that has faults, reads the clock, or draws at random.
    """
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        raise UserError(f"{model.label}: the tokenizer has no chat template (chat_template.jinja); {model.way_out}")
    try:
        _templated(tokenizer, user("?"), sampling, model.label)
    except (TemplateError, TypeError, ValueError) as error:
        raise UserError(f"{model.label}: the chat template cannot be used ({error}); {model.way_out}") from None


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


def decoded(tokenizer: Any, prompt: Sequence[int], answer: Sequence[int]) -> str:
    """What a model wrote after the tokens of ``prompt``, without special tokens but for those that mark its reasoning.

    Where the prompt ends inside a thought, as that of DeepSeek-R1's template does, the text begins with what opened it: else
    nobody could tell a thought that was cut from an answer.
    """
    added = tokenizer.get_added_vocab()
    marks = {added[mark]: mark for mark in MARKS if mark in added}
    texts = [
        "".join(map(marks.__getitem__, piece)) if marked else tokenizer.decode(list(piece), skip_special_tokens=True)
        for marked, piece in groupby(answer, marks.__contains__)
    ]
    end = tokenizer.decode(list(prompt[-TAIL:])).rstrip()
    opened = next((opening for opening in OPENINGS if end.endswith(opening)), "")
    return (opened + "".join(texts)).strip()
