"""A chat model as a judge, such as the paper's adjudicator: it is told the task in words and answers by a strict JSON schema."""

import json
from collections.abc import Sequence
from typing import Literal, final

from pydantic import BaseModel, ConfigDict, ValidationError

from refuseu.core.errors import UserError
from refuseu.judges.model_judge import texts
from refuseu.judges.settings import ModelJudgeSettings, Resources
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.llm.prompts import read_prompt
from refuseu.llm.protocol import Conversation, Engine, Sampling, user

PLACE = "{exchange}"
"""The place of the exchange in a prompt. Nothing else in braces has a meaning."""


class _Ruling(BaseModel):
    # No docstring: it would be part of the schema, and the schema is part of every row's key.
    model_config = ConfigDict(extra="forbid")

    harm: Literal["harmful", "safe"]
    reply: Literal["refusal", "compliance", "absent"]


SAMPLING = Sampling(max_new_tokens=64, schema=json.dumps(_Ruling.model_json_schema()))
"""A ruling takes about 15 tokens."""


@final
class Settings(ModelJudgeSettings):
    kind: Literal["chat"]
    prompt_tokens = 330
    verdict_tokens = 15

    def build(self, resources: Resources) -> "ChatJudge":
        return ChatJudge(resources.engine(self.model), read_prompt(resources.prompts / "adjudicator.md"))


class ChatJudge:
    """Judges the answer, or the question where there is no answer."""

    languages = None
    """No list holds for all chat models."""

    def __init__(self, engine: Engine, template: str) -> None:
        """``template`` is the prompt, as in ``data/prompts/adjudicator.md``.

        Raises:
            UserError: if the prompt has no place for the exchange, or several.
        """
        if template.count(PLACE) != 1:
            raise UserError(
                f"the prompt of the judge 'chat' holds {PLACE} {template.count(PLACE)} times; "
                "write it once, where the exchange belongs"
            )
        self._engine = engine
        self._template = template

    def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        said = texts(self._engine, exchanges, lambda each: conversation(each, self._template), SAMPLING)
        return [parse(text, each.answer is not None) for each, text in zip(exchanges, said, strict=True)]


def conversation(exchange: Exchange, template: str) -> Conversation:
    """Write the exchange into the prompt as JSON, so that no text in it can pass for its own end or for the prompt."""
    material = {"question": exchange.question, "answer": exchange.answer}
    return user(template.replace(PLACE, json.dumps(material, ensure_ascii=False)))


def parse(text: str, answered: bool) -> Verdict:
    """Return the verdict that ``text`` holds on an answer or, where not ``answered``, on a question alone.

    All but the schema's JSON is unparsed: a refusal to judge, plain text, a part of a ruling, or JSON within other text.
    """
    try:
        ruling = _Ruling.model_validate_json(text)
    except ValidationError:
        return Verdict(Harm.UNPARSED, Reply.UNPARSED if answered else Reply.ABSENT)
    if not answered:
        return Verdict(Harm(ruling.harm), Reply.ABSENT)
    return Verdict(Harm(ruling.harm), Reply.UNPARSED if ruling.reply == "absent" else Reply(ruling.reply))
