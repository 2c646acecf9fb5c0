"""lm-evaluation-harness' model, which asks one of this project's engines.

So the harness works with all engines, with adapters and with the row store. Of the harness' kinds of request, it answers one: the
log-likelihood of an answer in a conversation.
"""

import json
from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import LM

from refuseu.llm.protocol import Conversation, Engine


class EngineLM(LM):  # type: ignore[misc]
    """The harness passes prompts on as texts: a conversation goes through it as JSON, and the engine makes a prompt of it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    @property
    def tokenizer_name(self) -> str:
        return self._engine.identity

    def apply_chat_template(self, chat_history: Conversation, add_generation_prompt: bool = True) -> str:
        return json.dumps(chat_history, ensure_ascii=False)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """The log-likelihood of each answer, and ``False`` for whether it is the likeliest of all, which engines do not know."""
        pairs = [(json.loads(context), answer) for context, answer in (request.args for request in requests)]
        scores = dict(self._engine.log_likelihoods(pairs))
        return [(scores[place], False) for place in range(len(pairs))]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        raise NotImplementedError("an engine takes conversations, not running text")

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        raise NotImplementedError("only tasks of multiple choice are taken")
