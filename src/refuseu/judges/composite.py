"""Two judges as one: the first knows questions, the second replies."""

from collections.abc import Sequence
from dataclasses import dataclass

from refuseu.judges.verdict import Exchange, Judge, Verdict, verdict_of


@dataclass(frozen=True)
class CompositeJudge:
    """Harm is what the question's judge says of the question, as far as the reply is a compliance with it."""

    questions: Judge
    replies: Judge

    @property
    def languages(self) -> frozenset[str] | None:
        """Those that both are made for, as far as they say."""
        lists = [each for each in (self.questions.languages, self.replies.languages) if each is not None]
        return frozenset.intersection(*lists) if lists else None

    def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        asked = self.questions.judge([Exchange(each.lang, each.question) for each in exchanges])
        said = self.replies.judge(exchanges)
        return [verdict_of(question.harm, reply.reply) for question, reply in zip(asked, said, strict=True)]
