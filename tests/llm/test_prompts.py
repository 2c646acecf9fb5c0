import re
from pathlib import Path

import pytest
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.eval import rating
from refuseu.llm.prompts import PromptTemplate
from refuseu.rainbow_teaming import mutators, scoring, twins
from refuseu.respond import answers as responses
from refuseu.translate import translators as translation

FILE = """\
# A note to people {unknown}

## system

Write {language}.

## user

{question}

As JSON: {"question": "…"} or { question } or {1}.
"""


def read(tmp_path: Path, text: str, *placeholders: str) -> PromptTemplate:
    path = tmp_path / "step.md"
    path.write_text(text, encoding="utf-8")
    return PromptTemplate.read(path, placeholders)


def test_the_two_sections_are_the_two_turns_and_the_note_is_none(tmp_path: Path) -> None:
    prompt = read(tmp_path, FILE, "language", "question")
    assert prompt.conversation(language="Polish", question="Why?") == [
        {"role": "system", "content": "Write Polish."},
        {"role": "user", "content": 'Why?\n\nAs JSON: {"question": "…"} or { question } or {1}.'},
    ]


@pytest.mark.parametrize("value", ["{language}", "{question}", "{unknown}", "{", r"\1 \g<0> {}", "## system", "%s {0}"])
def test_a_value_stands_as_it_is(value: str, tmp_path: Path) -> None:
    prompt = read(tmp_path, "## system\n{language}\n## user\n{question}", "language", "question")
    system, user = prompt.conversation(language=value, question=value)
    assert (system["content"], user["content"]) == (value, value)


def test_a_missing_value_is_no_silent_gap(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="question"):
        read(tmp_path, FILE, "language", "question").conversation(language="Polish")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (FILE, "unknown placeholder {question}; this prompt has {language}"),
        ("## system\nWrite.\n## user\nAsk.", "placeholder {language} is missing; this prompt needs {language}"),
        (FILE.replace("## system", "## sytem"), "unknown section '## sytem'; a prompt has '## system' and '## user'"),
        (FILE + "## user\nmore", "section '## user' stands twice; write it once"),
        (FILE.split("## user")[0], "section '## user' is missing or empty; write below it what the model is told"),
        ("## system\n \n## user\nx", "section '## system' is missing or empty; write below it what the model is told"),
        ("", "section '## system' is missing or empty; write below it what the model is told"),
    ],
)
def test_a_faulty_file_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text, "language")
    assert error.value.message == f"{tmp_path / 'step.md'}: {sentence}"


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    way_out = f"'git restore {tmp_path / 'step.md'}' brings the project's own back"
    with pytest.raises(UserError) as error:
        PromptTemplate.read(tmp_path / "step.md", ["question"])
    assert error.value.message.endswith(f"step.md: prompt file cannot be read (No such file or directory); {way_out}")
    (tmp_path / "step.md").write_bytes("## user\nŻółć".encode("cp1250"))
    with pytest.raises(UserError) as error:
        PromptTemplate.read(tmp_path / "step.md", ["question"])
    assert error.value.message.endswith(f"step.md: prompt file is not UTF-8; save it as UTF-8, or {way_out}")


PLACEHOLDERS = {
    "category": mutators.CATEGORY_PLACEHOLDERS,
    "style": mutators.STYLE_PLACEHOLDERS,
    "twin": twins.PLACEHOLDERS,
    "preference": scoring.PLACEHOLDERS,
    "translation": translation.PLACEHOLDERS,
    "refusal": responses.PLACEHOLDERS,
    "fluency": rating.PLACEHOLDERS,
}
FIELDS = {"category": [mutators.FIELD], "style": [mutators.FIELD], "twin": [mutators.FIELD]} | {
    "translation": [translation.FIELD],
    "fluency": list(rating.Rating.__dataclass_fields__),
}


@pytest.mark.parametrize("part", PLACEHOLDERS)
def test_the_projects_prompts_can_be_read_and_name_the_entries_that_are_parsed(part: str) -> None:
    path = ROOT / "data/prompts" / f"{part}.md"
    prompt = PromptTemplate.read(path, PLACEHOLDERS[part])
    for name in FIELDS.get(part, []):
        assert f'"{name}"' in prompt.user
    notes = re.split("^## ", path.read_text(encoding="utf-8"), maxsplit=1, flags=re.MULTILINE)[0]
    assert {f"{{{name}}}" for name in PLACEHOLDERS[part]} == set(re.findall(r"\{[a-z_]+\}", notes))
