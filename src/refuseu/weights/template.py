"""Chat templates that write the same for the same conversation, on every day.

A template may read the clock (``strftime_now``, as many do for a line "Today is …") or draw at random. Then two runs ask
different questions under one name. So the parameters give a template its variables, a fixed date among them, and a template that
reads the clock or draws all the same is refused. The variables are written in front of the template's own text, so that all who
use the tokenizer see the same: the engines, and TRL in training.
"""

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, NoReturn

from pydantic import BeforeValidator, Field

from refuseu.core.errors import UserError

CLOCK = "strftime_now"
"""The function by which templates read the clock. As a variable it is a date, which the function then tells (2026-11-30)."""
DIRECTIVES = "aAbBcdHIjmMpSUwWxXyYfzZ"
"""What may follow a % where a date is written out."""
DRAWS = re.compile(r"\|\s*random\b|\blipsum\s*\(")
"""What draws at random in Jinja."""


def _written(given: Any) -> Any:
    """The variables of a mapping as one text; what is no mapping is left for pydantic to refuse."""
    if not isinstance(given, dict):
        return given
    for name, value in given.items():
        if not str(name).isidentifier():
            raise ValueError(f"{name!r} cannot be the name of a variable of a template")
        if value is None:
            raise ValueError(f"{name} has no value; give one, or take it out")
        if name == CLOCK:
            _day(value)
    try:
        return json.dumps(given, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except TypeError:
        raise ValueError("a value that JSON does not know, such as a date; write it in quotes") from None


def _day(value: Any) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{CLOCK} must be a date in quotes, like '2026-11-30'; it is {value!r}") from None


Variables = Annotated[str, BeforeValidator(_written), Field(pattern=r"^\{.*\}$")]
"""``chat_template_kwargs`` of a model: what its chat template is given, by name. It is kept as a text of JSON, as in
``Sampling``, so that settings stay hashable.
"""
NONE: Variables = "{}"


def set_variables(tokenizer: Any, variables: Variables) -> None:
    """Put ``variables`` in front of the chat template, or of each one. One that a call gives has precedence."""
    head, own = _head(json.loads(variables)), tokenizer.chat_template
    if own:
        many = isinstance(own, dict)
        tokenizer.chat_template = {name: head + text for name, text in own.items()} if many else head + own


def _head(variables: Mapping[str, Any]) -> str:
    """The variables as Jinja. transformers removes the line break after a block, so the template's text begins as it did."""
    lines = [
        _clock(_day(value))
        if name == CLOCK
        else f"{{% if {name} is not defined %}}{{% set {name} = {json.dumps(value, ensure_ascii=False)} %}}{{% endif %}}"
        for name, value in sorted(variables.items())
    ]
    return "".join(f"{line}\n" for line in lines)


def _clock(day: date) -> str:
    parts = "".join(f" | replace('%{each}', '{day.strftime('%' + each)}')" for each in DIRECTIVES)
    return f"{{% macro {CLOCK}(format) %}}{{{{ format{parts} }}}}{{% endmacro %}}"


def rendered(tokenizer: Any, called: str, conversation: Any, **options: Any) -> str:
    """The text that the chat template makes of a conversation; ``options`` are those of ``apply_chat_template``.

    ``called`` is what error texts call the model.

    Raises:
        UserError: when the template reads the clock or draws at random, and when filling it in fails.
        jinja2.TemplateError: for a conversation that the template refuses, such as two user turns in a row.
    """
    from jinja2 import TemplateError

    drawing = DRAWS.search(str(tokenizer.chat_template))
    if drawing:
        raise UserError(
            f"{called}: the chat template draws at random ({drawing[0]}), so no answer could be had again; take that out of the "
            "template, or name another model"
        )

    def refuse(_: str) -> NoReturn:
        raise UserError(
            f"{called}: the chat template reads the clock ({CLOCK}), so its answers would change from day to day; give the model "
            "a date by chat_template_kwargs: {date_string: 26 Jul 2024} if its template reads date_string, and else "
            f"{{{CLOCK}: '2024-07-26'}}"
        )

    # A variable stands before the function of the same name that transformers offers.
    try:
        text: str = tokenizer.apply_chat_template(conversation, **{CLOCK: refuse, **options, "tokenize": False})
    except (UserError, TemplateError):
        raise
    except Exception as error:
        # What is in a template is a program: it divides by 0, takes in another template, calls itself.
        said = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{called}: the chat template cannot be filled in ({said}); mend it where it comes from, or name another model"
        ) from None
    return text
