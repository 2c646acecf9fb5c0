"""The refuser that an LLM plays; the paper's is Llama-3.1-70B with an instruction to refuse."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from refuseu.engines.prompts import Prompt
from refuseu.engines.protocol import Completion, Conversation, Engine, Sampling, completed
from refuseu.engines.writing import ended, repeats
from refuseu.experiment import LANGUAGES
from refuseu.respond.interfaces import Question, Refuser

PLACEHOLDERS = ("question", "language")


@dataclass(frozen=True)
class LlmRefuser:
    """Told to refuse in the question's language, by its English name.

    Whether what it says is a refusal, safe and in the right language is for the judges to find out.
    """

    engine: Engine
    sampling: Sampling
    prompt: Prompt
    """With ``PLACEHOLDERS``."""
    restricted: Container[str]
    """Ids of the questions that the LLM must not see: those of the restricted categories."""
    fallback: Refuser
    """Refuses the restricted questions."""

    def refuse(self, questions: Sequence[Question]) -> list[str | None]:
        """A refusal each, in order; ``None`` where the LLM said nothing, was cut, or repeated what it was told."""
        hidden = [each.question_id in self.restricted for each in questions]
        kept_away = [each for each, hide in zip(questions, hidden, strict=True) if hide]
        shown = [each for each, hide in zip(questions, hidden, strict=True) if not hide]
        by_rule, by_llm = iter(self.fallback.refuse(kept_away)), iter(self._asked(shown))
        return [next(by_rule if hide else by_llm) for hide in hidden]

    def _asked(self, questions: Sequence[Question]) -> list[str | None]:
        conversations = [
            self.prompt.conversation(question=each.text, language=LANGUAGES[each.lang].name) for each in questions
        ]
        completions = completed(self.engine, conversations, self.sampling)
        return [_refusal(each, asked) for each, asked in zip(completions, conversations, strict=True)]


def _refusal(completion: Completion, conversation: Conversation) -> str | None:
    text = ended(completion)
    return None if repeats(text, conversation) else text
