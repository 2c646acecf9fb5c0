from collections.abc import Iterator, Sequence
from dataclasses import replace
from pickle import dumps, loads

from refuseu.llm.protocol import Completion, Conversation, RawPrompt, Sampling, asked_alone, completed, row_seed, user

DRAWN = Sampling(8, temperature=0.7)


class Backwards:
    """Says a question backwards, the last one first."""

    identity = "backwards"

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position in reversed(range(len(conversations))):
            yield position, Completion(conversations[position][-1]["content"][::-1])

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterator[tuple[int, float]]:
        yield from ((position, 0.0) for position in range(len(pairs)))


def test_completions_come_in_the_order_of_their_conversations() -> None:
    assert completed(Backwards(), [user("ab"), user("cd")], DRAWN) == [Completion("ba"), Completion("dc")]
    assert asked_alone(Backwards(), ["ab", "cd", "ab"], DRAWN) == ["ba", "dc", "ba"]


def test_a_seed_follows_from_the_conversation_and_the_seed_alone() -> None:
    assert row_seed(user("a"), DRAWN) == row_seed(user("a"), replace(DRAWN, max_new_tokens=9, prefix="Well"))
    assert row_seed(user("a"), DRAWN) != row_seed(user("b"), DRAWN)
    assert row_seed(user("a"), DRAWN) != row_seed(user("a"), replace(DRAWN, seed=1))
    assert all(0 <= row_seed(user(str(number)), DRAWN) < 2**31 for number in range(100))


def test_a_raw_prompt_with_parts_is_its_text_and_reaches_other_processes_whole() -> None:
    prompt = RawPrompt("<s>", "one</s>", "<s>")
    assert prompt == "<s>one</s><s>" and row_seed(prompt, DRAWN) == row_seed(str(prompt), DRAWN)
    sent = loads(dumps(prompt))
    assert (sent, sent.parts, type(sent)) == (prompt, ("<s>", "one</s>", "<s>"), RawPrompt)
