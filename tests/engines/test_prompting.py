"""A conversation as token ids: nothing twice, and a prefix that stands by itself."""

from typing import Any

import pytest

from refuseu.engines.prompting import first_tokens, prompt_tokens
from refuseu.engines.protocol import Conversation, user
from refuseu.errors import UserError


class Pairs:
    """A tokenizer that takes two characters at a time and puts 0 in front where it is asked for special tokens."""

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        ids = [int.from_bytes(text[place : place + 2].encode(), "big") for place in range(0, len(text), 2)]
        return {"input_ids": [0, *ids] if add_special_tokens else ids}

    def apply_chat_template(self, conversation: Conversation, **options: Any) -> str:
        assert options == {"add_generation_prompt": True, "tokenize": False}
        return "".join(f"{message['role']}:{message['content']}\n" for message in conversation)


def read(ids: list[int]) -> list[str]:
    return [token.to_bytes(2, "big").strip(b"\0").decode() for token in ids]


def test_the_template_is_all_that_stands_before_the_answer() -> None:
    assert read(prompt_tokens(Pairs(), user("ab"))) == ["us", "er", ":a", "b\n"]


def test_a_prefix_is_not_merged_with_the_template() -> None:
    assert read(prompt_tokens(Pairs(), user("a"), "\nno")) == ["us", "er", ":a", "\n", "\nn", "o"]


def test_a_word_counts_by_its_first_token() -> None:
    assert read(first_tokens(Pairs(), ["unsafe", "safe"])) == ["un", "sa"]
    with pytest.raises(UserError, match="begins 'unsafe' and 'unclear' with the same token"):
        first_tokens(Pairs(), ["unsafe", "unclear"])
