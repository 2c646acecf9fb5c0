from pathlib import Path

import pytest

from refuseu.core.errors import UserError
from refuseu.core.files import read_yaml


def read(tmp_path: Path, text: str | bytes) -> object:
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path, "bring it back")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("1e-3", 0.001),
        ("012", 12),
        (".5", 0.5),
        ("'012'", "012"),
        ("", None),
        ("ā: [č]", {"ā": ["č"]}),
    ],
)
def test_it_is_read_as_dvc_reads_it(text: str, value: object, tmp_path: Path) -> None:
    read_value = read(tmp_path, text)
    assert (read_value, type(read_value)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1, 2", "line 1: "),
        ("a: 1\nb: 2\na: 3\n", 'line 3: found duplicate key "a"'),
        ("a: 2020-99-99", "month must be in 1..12"),
        ("a: !!python/object:os.system b", "line 1: could not determine a constructor"),
        (b"\xff\xfe", "'utf-8' codec"),
    ],
)
def test_what_is_no_yaml_is_one_sentence_that_names_the_file(text: str | bytes, fault: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert error.value.message.startswith(f"{tmp_path}/params.yaml: not valid YAML: {fault}")
    assert "\n" not in error.value.message


def test_a_file_that_is_missing_or_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_yaml(tmp_path / "params.yaml", "run from the repository's root")
    assert error.value.message == (
        f"{tmp_path}/params.yaml: cannot be read (No such file or directory); run from the repository's root"
    )
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\); bring it back"):
        read_yaml(tmp_path, "bring it back")
