"""How a prompt becomes the token ids that a model is asked with, the same for every engine that holds a tokenizer."""

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from refuseu.core.errors import UserError
from refuseu.llm.protocol import Completion, Conversation, Failed, Finish, Prompt, RawPrompt, Sampling, user
from refuseu.llm.reasoning import MARKS, OPENINGS
from refuseu.weights.encoding import conversation_tokens, parts_tokens, text_tokens
from refuseu.weights.reference import ModelReference

REFUSED = "the chat template refuses the conversation"
TOO_LONG = "the conversation is too long with its answer"
EMPTY = "the prompt has no tokens"
NOT_FINITE = "the model computes numbers that are not finite"
"""Why a row fails, in the words of ``Completion.reason``."""
TAIL = 32
"""Tokens at the end of a prompt that hold the longest of ``OPENINGS`` and a line break, though each letter be a token."""
TOGETHER = 128
"""Tokens of which vLLM tells the log-probability at one place, at most."""
PLAIN = Sampling(max_new_tokens=0)
"""Nothing is put before the answer, and nothing is given to the template."""


def prompt_tokens(tokenizer: Any, prompt: Prompt, sampling: Sampling = PLAIN) -> list[int]:
    """A raw prompt, or a conversation in the model's own chat template, and what the answer is made to begin with.

    What comes from outside becomes no special token (``weights.encoding``): the contents of a conversation, and the parts of a
    ``RawPrompt`` that are not ours. The prefix is encoded by itself, as if the model had just written it: together with the
    template's last line break it could become another token.

    Raises:
        jinja2.TemplateError: for a conversation that the template refuses, such as two user turns in a row.
    """
    match prompt:
        case RawPrompt(parts=parts):
            ids = parts_tokens(tokenizer, parts)
        case str():
            ids = text_tokens(tokenizer, prompt)
        case conversation:
            ids = _templated(tokenizer, conversation, sampling)
    return ids + text_tokens(tokenizer, sampling.prefix)


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


class Pass(NamedTuple):
    """What a model reads once, and the answers that are scored by it."""

    prompt: list[int]
    answers: dict[int, list[int]]
    """Tokens by the pair's position: of one answer, or of several that are one token each."""

    @property
    def row(self) -> list[int]:
        """The prompt with its first answer."""
        return self.prompt + next(iter(self.answers.values()))

    @property
    def options(self) -> list[int]:
        """The tokens that may follow the prompt, each once, where every answer is one token; else none."""
        return list(dict.fromkeys(answer[0] for answer in self.answers.values() if len(answer) == 1))


def passes(pairs: Mapping[int, tuple[list[int], list[int]]]) -> list[Pass]:
    """The passes that score prompts and answers: one for each answer, but one together for those of a prompt that are one token,
    such as the letters of a multiple choice.
    """
    alike: dict[Hashable, dict[int, list[int]]] = {}
    for place, (prompt, answer) in pairs.items():
        alike.setdefault(tuple(prompt) if len(answer) == 1 else place, {})[place] = answer
    return [
        Pass(pairs[places[0]][0], {place: answers[place] for place in places[start : start + TOGETHER]})
        for answers in alike.values()
        for places in [list(answers)]
        for start in range(0, len(places), TOGETHER)
    ]


def rows_to_score(
    tokenizer: Any, model: ModelReference, pairs: Sequence[tuple[Prompt, str]], limit: int
) -> tuple[list[Pass], dict[int, float | Failed]]:
    """The passes for prompts and answers that have at most ``limit`` tokens, and the outcomes of the others.

    Raises:
        UserError: as ``rows_to_ask``.
    """
    prompts = _prompts_tokens(tokenizer, model, [prompt for prompt, _ in pairs], PLAIN)
    rows = {place: (row, parts_tokens(tokenizer, ["", pairs[place][1]])) for place, row in enumerate(prompts) if row}
    done: dict[int, float | Failed] = {
        place: Failed(REFUSED if row is None else EMPTY) for place, row in enumerate(prompts) if not row
    }
    done |= {place: Failed(TOO_LONG) for place, (row, answer) in rows.items() if len(row + answer) > limit}
    return passes({place: row for place, row in rows.items() if place not in done}), done


def log_likelihood(steps: Iterable[float]) -> float | Failed:
    """That of an answer, by the log-probability of each of its tokens."""
    total = math.fsum(steps)
    return total if math.isfinite(total) else Failed(NOT_FINITE)


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


def _templated(tokenizer: Any, conversation: Conversation, sampling: Sampling, called: str | None = None) -> list[int]:
    variables = json.loads(sampling.chat_template_kwargs or "{}")
    named = called or str(tokenizer.name_or_path)
    return conversation_tokens(tokenizer, named, conversation, **{"add_generation_prompt": True, **variables})


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
