from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.phrasebook.language_files import InLanguage, read_language


class Greeting(InLanguage):
    hello: str


def read(tmp_path: Path, text: str) -> Greeting:
    (tmp_path / "en.yaml").write_text(text, encoding="utf-8")
    return read_language(Greeting, tmp_path / "en.yaml", "add it")


def test_a_language_is_read_from_the_file_of_its_code_and_each_value_is_a_text(tmp_path: Path) -> None:
    assert read(tmp_path, "language: en\nhello: no\n") == Greeting(language="en", hello="no")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("language: en\n", "hello: missing"),
        ("", "must be a mapping of keys to values, was read as nothing; write its keys below its name"),
        ("language: de\nhello: hallo\n", "language: is 'de', the file's name says 'en'"),
    ],
)
def test_a_file_of_another_shape_or_language_is_one_sentence(text: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert error.value.message == f"{tmp_path}/en.yaml: {fault}"


def test_a_file_that_is_missing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_language(Greeting, tmp_path / "en.yaml", "add it")
    assert error.value.message == f"{tmp_path}/en.yaml: cannot be read (No such file or directory); add it"
