from pathlib import Path
from typing import Any

import broken
import pytest
from pydantic import TypeAdapter, ValidationError
from transformers import AutoTokenizer

from refuseu.core.errors import UserError
from refuseu.weights.template import NONE, Variables, rendered, set_variables

HELLO = [{"role": "user", "content": "Hello"}]
DATED = (
    "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{{ 'Today is ' + date_string + '. ' }}"
)


def variables(**given: Any) -> Variables:
    written: Variables = TypeAdapter(Variables).validate_python(given)
    return written


def tokenizer_with(template: str, folder: Path, given: Variables = NONE) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(broken.whole(folder))
    tokenizer.chat_template = template
    set_variables(tokenizer, given)
    return tokenizer


@pytest.mark.parametrize("template", [DATED, broken.CLOCKED])
def test_a_template_that_reads_the_clock_is_refused(template: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        rendered(tokenizer_with(template, tmp_path), "eval.models.mine: /x", HELLO)
    assert error.value.message == (
        "eval.models.mine: /x: the chat template reads the clock (strftime_now), so its answers would change from day to day; "
        "give the model a date by chat_template_kwargs: {date_string: 26 Jul 2024} if its template reads date_string, and else "
        "{strftime_now: '2024-07-26'}"
    )


def test_a_date_that_is_given_is_the_one_that_the_template_writes(tmp_path: Path) -> None:
    own = tokenizer_with(DATED, tmp_path, variables(date_string="1 May 2020"))
    assert rendered(own, "", HELLO) == "Today is 1 May 2020. "
    assert rendered(own, "", HELLO, date_string="2 May 2020") == "Today is 2 May 2020. "
    # As TRL writes it, which knows nothing of the variables.
    assert own.apply_chat_template(HELLO, tokenize=False) == "Today is 1 May 2020. "


def test_a_clock_that_is_set_shows_one_day_in_every_format(tmp_path: Path) -> None:
    template = "{{ strftime_now('%Y-%m-%d %H:%M') }}|{{ strftime_now('%A, %d %B %Y') }}|{% set y = strftime_now('%Y') %}{{ y }}"
    own = tokenizer_with(template, tmp_path, variables(strftime_now="2024-07-26"))
    assert rendered(own, "", HELLO) == "2024-07-26 00:00|Friday, 26 July 2024|2024"
    assert own.apply_chat_template(HELLO, tokenize=False) == rendered(own, "", HELLO)


@pytest.mark.parametrize(
    "template", ["\n  {% if true %}a{% endif %}", "  {{ 'b' }}", "\t x\n", "{%- if true %}\nc{% endif %}"]
)
def test_variables_leave_the_text_of_the_template_as_it_is(template: str, tmp_path: Path) -> None:
    plain = rendered(tokenizer_with(template, tmp_path), "", HELLO)
    given = variables(strftime_now="2024-07-26", a=True, b={"c": ['"é"', 1.5]})
    assert rendered(tokenizer_with(template, tmp_path, given), "", HELLO) == plain


def test_values_reach_the_template_as_they_were_written(tmp_path: Path) -> None:
    template = "{{ flag is sameas false }} {{ words[1] }} {{ nested.number + 1 }} {{ text }}"
    given = variables(flag=False, words=["a", "žluťoučký"], nested={"number": 2}, text='it\'s "so"\n\\n 😀')
    assert rendered(tokenizer_with(template, tmp_path, given), "", HELLO) == ('True žluťoučký 3 it\'s "so"\n\\n 😀')


def test_each_of_several_templates_gets_the_variables_and_none_stays_none(tmp_path: Path) -> None:
    many = tokenizer_with("", tmp_path)
    many.chat_template = {"default": DATED, "other": "{{ date_string }}"}
    set_variables(many, variables(date_string="now"))
    assert many.apply_chat_template(HELLO, chat_template="other", tokenize=False) == "now"
    many.chat_template = None
    set_variables(many, variables(date_string="now"))
    assert many.chat_template is None


@pytest.mark.parametrize("template", ["{{ ['a', 'b'] | random }}", "{{ lipsum(1) }}"])
def test_a_template_that_draws_is_refused(template: str, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^x: the chat template draws at random \(.+\), so no answer could be had again"
    ):
        rendered(tokenizer_with(template, tmp_path), "x", HELLO)


def test_variables_are_one_text_whatever_their_order() -> None:
    assert variables(b=1, a="x") == variables(a="x", b=1) == '{"a": "x", "b": 1}'
    assert TypeAdapter(Variables).validate_python(variables(a=1)) == variables(a=1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"strftime_now": "today"}, "strftime_now must be a date in quotes, like '2026-11-30'; it is 'today'"),
        ({"a b": 1}, "'a b' cannot be the name of a variable of a template"),
        ({"a": None}, "a has no value; give one, or take it out"),
        ({"a": {1, 2}}, "a value that JSON does not know"),
        ([], "valid string"),
        ("date", "should match pattern"),
    ],
)
def test_what_cannot_be_given_is_said(given: Any, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        TypeAdapter(Variables).validate_python(given)


@pytest.mark.parametrize("template", ["{{ 1/0 }}", "{% include 'x' %}", "{{ none + 1 }}", "{{ range(10**9) | list }}"])
def test_a_template_that_cannot_be_filled_in_is_a_sentence(template: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_with(template, tmp_path / "model")
    with pytest.raises(UserError, match=r"^org/name: the chat template cannot be filled in \(.+\); mend it"):
        rendered(tokenizer, "org/name", HELLO)
