from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.phrasebook.language_files import read_texts


def read(tmp_path: Path, text: str | bytes) -> object:
    path = tmp_path / "en.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_texts(path, "bring it back")


def test_each_value_is_a_text_as_it_stands_there(tmp_path: Path) -> None:
    text = "a: no\n1984: [1e-3, 012, 2020-01-01, true, ā]\nempty:\n"
    assert read(tmp_path, text) == {"a": "no", "1984": ["1e-3", "012", "2020-01-01", "true", "ā"], "empty": ""}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: b: c", "line 1: mapping values are not allowed"),
        ("a: b\nc: d\na: e\n", 'line 3: found duplicate key "a"'),
        ("a: {b: c, b: d}\n", 'line 1: found duplicate key "b"'),
        (b"\xff\xfe", "'utf-8' codec"),
    ],
)
def test_what_is_no_yaml_is_one_sentence_that_names_the_file(text: str | bytes, fault: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert error.value.message.startswith(f"{tmp_path}/en.yaml: not valid YAML: {fault}")
    assert "\n" not in error.value.message


def test_a_file_that_is_missing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_texts(tmp_path / "en.yaml", "add it")
    assert error.value.message == f"{tmp_path}/en.yaml: cannot be read (No such file or directory); add it"
