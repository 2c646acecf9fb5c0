"""A conversation as token ids: nothing twice, and a prefix that stands by itself."""

from typing import Any

import pytest
from jinja2 import TemplateError

from refuseu.core.errors import UserError
from refuseu.engines.prompting import assert_asked, first_tokens, prompt_tokens, prompts_tokens
from refuseu.engines.protocol import Conversation, Sampling, user


class Pairs:
    """A tokenizer that takes two characters at a time and puts 0 in front where it is asked for special tokens."""

    chat_template: str | None = "played"

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        ids = [int.from_bytes(text[place : place + 2].encode(), "big") for place in range(0, len(text), 2)]
        return {"input_ids": [0, *ids] if add_special_tokens else ids}

    def apply_chat_template(self, conversation: Conversation, **options: Any) -> str:
        assert options.pop("add_generation_prompt") and not options.pop("tokenize")
        return "".join(f"{message['role']}:{message['content']}\n" for message in conversation) + "".join(
            options.values()
        )


def read(ids: list[int]) -> list[str]:
    return [token.to_bytes(2, "big").strip(b"\0").decode() for token in ids]


def test_the_template_is_all_that_stands_before_the_answer() -> None:
    assert read(prompt_tokens(Pairs(), user("ab"))) == ["us", "er", ":a", "b\n"]


def test_a_prefix_is_not_merged_with_the_template() -> None:
    assert read(prompt_tokens(Pairs(), user("a"), Sampling(1, prefix="\nno"))) == ["us", "er", ":a", "\n", "\nn", "o"]


def test_a_raw_prompt_is_taken_as_it_stands_and_needs_no_template() -> None:
    bare = Pairs()
    bare.chat_template = None
    (ids,) = prompts_tokens(bare, "a model", ["<s>abc"], Sampling(1, prefix="no"))
    assert ids is not None and read(ids) == ["<s", ">a", "bc", "no"]
    with pytest.raises(
        UserError, match=r"^a model: the tokenizer has no chat template \(chat_template.jinja\); add it"
    ):
        prompts_tokens(bare, "a model", ["<s>abc", user("a")])


def test_the_template_is_given_the_variables_that_were_set() -> None:
    told = Sampling(1, chat_template_kwargs='{"risk": "harm"}')
    assert read(prompt_tokens(Pairs(), user("ab"), told)) == ["us", "er", ":a", "b\n", "ha", "rm"]
    assert prompt_tokens(Pairs(), "ab", told) == prompt_tokens(Pairs(), "ab")


def test_a_template_that_takes_not_even_a_short_question_is_one_sentence() -> None:
    class Broken(Pairs):
        def apply_chat_template(self, conversation: Conversation, **options: Any) -> str:
            raise TemplateError("no users")

    with pytest.raises(UserError, match=r"^a model: the chat template cannot be used \(no users\); mend it, or"):
        prompts_tokens(Broken(), "a model", [user("ab")])


def test_a_word_counts_by_its_first_token() -> None:
    assert read(first_tokens(Pairs(), ["unsafe", "safe"])) == ["un", "sa"]
    with pytest.raises(UserError, match="begins 'unsafe' and 'unclear' with the same token"):
        first_tokens(Pairs(), ["unsafe", "unclear"])


def test_a_conversation_that_the_template_refuses_has_no_prompt() -> None:
    class Refusing(Pairs):
        def apply_chat_template(self, conversation: Conversation, **options: Any) -> str:
            if len(conversation) > 1:
                raise TemplateError("no system")
            return super().apply_chat_template(conversation, **options)

    asked = [user("ab") * 2, user("ab")]
    assert prompts_tokens(Refusing(), "a model", asked) == [None, prompt_tokens(Pairs(), user("ab"))]


def test_what_cannot_be_asked_is_named_as_far_as_a_sentence_goes() -> None:
    assert_asked("a model", [], "why")
    with pytest.raises(UserError, match=r"^a model: conversations 3, 5 \(from 0\) cannot be asked: why$"):
        assert_asked("a model", [3, 5], "why")
    with pytest.raises(UserError, match=r"conversations 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more \(from 0\)"):
        assert_asked("a model", range(1000), "why")
