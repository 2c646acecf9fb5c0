"""External tables in files and on the hub: what is read of them, and every fault as one sentence."""

from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from pydantic import ValidationError

from refuseu.core.errors import UserError
from refuseu.sources.external import assert_readable, read_external
from refuseu.sources.settings import ExternalTable

CATEGORIES = {"S1": "Violent Crimes", "S5": "Defamation"}
READ = [
    ("How can I bend\nthe rules, and why?", "S1"),
    ("Where is the key?", "S5"),
    ("Żółć, why?", None),
]
ROWS = [
    {"behavior": "How can I bend\nthe rules, and why?", "kind": "S1", "n": 1},
    {"behavior": " Where is the key? ", "kind": "defamation", "n": 2},
    {"behavior": "Żółć, why?", "kind": None, "n": 3},
]
MARKED = "MARKED-HARMFUL-TEXT"
COMMIT = "0123456789012345678901234567890123456789"


class Table(ExternalTable):
    called: ClassVar[str] = "seed set"


def read(table: Table, folder: Path) -> list[tuple[str, str | None]]:
    """The question and the category of each row."""
    rows = read_external(table, folder)
    return [(row.question(table.text), row.category(table.category, CATEGORIES)) for row in rows]


def saved(tmp_path: Path, ending: str, rows: list[dict[str, Any]] = ROWS) -> str:
    path, frame = tmp_path / f"seeds{ending}", pd.DataFrame(rows)
    match ending:
        case ".csv":
            frame.to_csv(path, index=False, encoding="utf-8-sig")
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True, force_ascii=False)
        case ".parquet":
            frame.to_parquet(path)
    return path.name


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_file_is_read_with_its_categories_by_key_or_name(ending: str, tmp_path: Path) -> None:
    assert read(Table(source=saved(tmp_path, ending), text="behavior", category="kind"), tmp_path) == READ


def test_without_a_column_of_categories_nobody_knows_them(tmp_path: Path) -> None:
    found = read(Table(source=saved(tmp_path, ".csv"), text="behavior"), tmp_path)
    assert found == [(question, None) for question, _ in READ]


def test_a_dataset_of_the_hub_is_asked_for_at_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*names: Any, **settings: Any) -> list[dict[str, Any]]:
        asked.append((names, settings))
        return ROWS

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    table = Table(source="org/seeds", text="behavior", category="kind", revision=COMMIT, config="lang_en", split="test")
    assert read(table, tmp_path) == READ
    assert asked == [(("org/seeds", "lang_en"), {"split": "test", "revision": COMMIT})]


@pytest.mark.parametrize("error", [FileNotFoundError, ConnectionError, ValueError])
def test_a_dataset_that_cannot_be_loaded_is_one_sentence(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(*_: Any, **__: Any) -> None:
        raise error("long\nstory")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(UserError) as caught:
        read(Table(source="org/seeds", text="behavior", revision=COMMIT), tmp_path)
    assert caught.value.message == (
        f"org/seeds@{COMMIT}: dataset cannot be loaded ({error.__name__}); look at its name, revision, config and split, and "
        "whether the hub can be reached"
    )


def test_a_proxy_that_the_hub_s_client_cannot_use_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: Any, **__: Any) -> None:
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@proxy:1080")
    with pytest.raises(UserError, match=r"^the environment variable ALL_PROXY names a proxy that cannot be used"):
        read(Table(source="org/seeds", text="behavior", revision=COMMIT), tmp_path)


def test_a_dataset_needs_a_revision(tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"^org/seeds: neither a .csv, .tsv, .txt, .jsonl or .parquet file nor a dataset at a revision; ",
    ):
        read(Table(source="org/seeds", text="behavior"), tmp_path)


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[1:], COMMIT.replace("9", "x")])
def test_a_revision_that_may_move_is_a_mistake(revision: str) -> None:
    with pytest.raises(ValidationError, match="must be a commit, 40 hexadecimal digits: a branch or a tag may hold"):
        Table(source="org/seeds", text="behavior", revision=revision)


def row(behavior: object = MARKED, kind: object = "S1") -> dict[str, Any]:
    return {"behavior": behavior, "kind": kind}


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize(
    ("rows", "text", "category", "sentence"),
    [
        ([row()], "question", None, "row 1: no column 'question'; name one that is there"),
        ([row()], "behavior", "category", "row 1: no column 'category'; name one that is there"),
        (
            [row(), row(" ")],
            "behavior",
            None,
            "row 2: column 'behavior' holds no text; write the question, or take the row out",
        ),
        (
            [row(), row(None)],
            "behavior",
            None,
            "row 2: column 'behavior' holds no text; write the question, or take the row out",
        ),
        (
            [row(), row(kind="S99")],
            "behavior",
            "kind",
            "row 2: column 'kind' holds none of the categories of params.yaml; ",
        ),
        ([row()], "kind", "behavior", "row 1: column 'behavior' holds none of the categories of params.yaml; "),
    ],
)
def test_a_faulty_row_is_named_and_not_shown(
    rows: list[dict[str, Any]], text: str, category: str | None, sentence: str, ending: str, tmp_path: Path
) -> None:
    source = saved(tmp_path, ending, rows)
    with pytest.raises(UserError) as error:
        read(Table(source=source, text=text, category=category), tmp_path)
    assert error.value.message.startswith(f"{tmp_path / source}, {sentence}")
    assert MARKED not in error.value.message


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("s.csv", f'behavior,kind\n"{MARKED}', ": not valid CSV after line 1 (unexpected end of data); mend it"),
        ("s.csv", "behavior,kind\n", ": holds no row; name a seed set with questions"),
        ("s.csv", "kind,behavior\nS1\n", ", row 1: column 'behavior' holds no text; "),
        ("s.csv", f"behavior\n{MARKED}ż".encode("cp1250"), ": is not in UTF-8; save it once more as UTF-8, "),
        ("s.csv", f"{MARKED}\n{MARKED}\n", ", row 1: no column 'behavior'; name one that is there"),
        (
            "s.jsonl",
            f'{{"behavior": "{MARKED}"}}\n{{"behavior": "{MARKED}',
            ", line 2: not a JSON object; write one a line",
        ),
        ("s.jsonl", f'["{MARKED}"]', ", line 1: not a JSON object; write one a line"),
        ("s.jsonl", f"{MARKED}ż".encode("cp1250"), ": is not in UTF-8; save it once more as UTF-8, "),
        ("s.parquet", MARKED, ": not a parquet file; save it anew, or name another"),
    ],
)
def test_a_damaged_file_is_one_sentence_without_its_text(
    name: str, content: str | bytes, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as error:
        read(Table(source=path.name, text="behavior"), tmp_path)
    assert error.value.message.startswith(f"{path}{sentence}")
    assert MARKED not in error.value.message


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_missing_file_is_one_sentence(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"none{ending}"
    with pytest.raises(UserError) as error:
        read(Table(source=path.name, text="behavior"), tmp_path)
    assert error.value.message == f"{path}: seed set cannot be read (No such file or directory); name another"


def test_a_line_separator_of_unicode_ends_no_row(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('{"behavior": "How\u2028so?"}\n', encoding="utf-8")
    assert read(Table(source=path.name, text="behavior"), tmp_path) == [("How\u2028so?", None)]


@pytest.mark.parametrize("column", ["behavior", "Behavior ", "BEHAVIOR"])
def test_columns_are_found_whatever_their_case_and_blanks(column: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(" Behavior ,kind\nWhere is the key?,S5\n", encoding="utf-8")
    assert read(Table(source="s.csv", text=column, category="Kind"), tmp_path) == [("Where is the key?", "S5")]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_columns_and_categories_are_found_in_both_forms_of_unicode(ending: str, tmp_path: Path) -> None:
    names = [("é", "ü"), ("e\u0301", "u\u0308")]
    for (column, name), (asked, key) in (names, reversed(names)):
        source = saved(tmp_path, ending, [{f"fr{column}": "Where?", "kind": f"{name}ber"}])
        found = read_external(Table(source=source, text=f"fr{asked}"), tmp_path)
        assert [(row.question(f"fr{asked}"), row.category("kind", {"S1": f"{key}BER"})) for row in found] == [
            ("Where?", "S1")
        ]


@pytest.mark.parametrize("name", ["s.CSV", "s.tsv", "s.txt"])
def test_a_table_of_tabs_in_utf_16_is_one_under_any_of_its_names(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes("behavior\tkind\r\nWhere, is it?\tS5\r\n".encode("utf-16"))
    assert read(Table(source=name, text="behavior", category="kind"), tmp_path) == [("Where, is it?", "S5")]


def test_jsonl_of_powershell_with_blank_lines_is_read(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_bytes('{"behavior": "Where?"}\r\n\r\n{"behavior": "Why?"}\r\n\r\n'.encode("utf-16"))
    assert read(Table(source="s.jsonl", text="behavior"), tmp_path) == [("Where?", None), ("Why?", None)]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        # "\\ud83d" is the first half of a character, as JSON can name it.
        ("s.jsonl", b'{"behavior": "How \\ud83d so?"}', ", row 1: column 'behavior' holds half of a character"),
        ("s.jsonl", b'{"behavior": "How \\u0000 so?"}', ", row 1: column 'behavior' holds half of a character"),
        (
            "s.csv",
            "behavior\nHow \ud83d so?\n".encode("utf-16", "surrogatepass"),
            ": is not in UTF-8; save it once more",
        ),
        (
            "s.csv",
            "behavior\nHow \ud83d so?\n".encode("utf-8", "surrogatepass"),
            ": is not in UTF-8; save it once more",
        ),
        ("s.csv", "behavior\nHow so?\n".encode("utf-16-le"), ": is not in UTF-8; save it once more"),
        ("s.csv", b"behavior\nHow\0so?\n", ": is not in UTF-8; save it once more"),
        ("s.jsonl", b"[" * 100_000, ", line 1: not a JSON object"),
        ("s.jsonl", b'{"behavior": 5}', ", row 1: column 'behavior' holds no text; write it as a text"),
        ("s.jsonl", b'{"behavior": "a", "Behavior": "b"}', None),
        ("s.jsonl", b'{"BEHAVIOR": "a", "Behavior": "b"}', ", row 1: 2 columns 'behavior'; rename one of them"),
        ("s.csv", "behavior,kind,Behavior\na,S1,b\n", ": columns 1 and 3 have the same name; rename one of them"),
        ("s.csv", "behavior\nHow is it, then?\n", ": line 2: has more cells than the table has columns; "),
        ("s.csv", "behavior,kind,,\nHow?,S1,,\n", None),
        ("s.csv", "behavior\n#NAME?\n", ", row 1: column 'behavior' holds what a spreadsheet made of a text"),
        ("s.csv", 'behavior\n"4,08E+11"\n', ", row 1: column 'behavior' holds what a spreadsheet made of a text"),
        ("s.csv", "behavior\nErr:508\n", ", row 1: column 'behavior' holds what a spreadsheet made of a text"),
        ("s.csv", "behavior\nWhat does #NAME? mean?\n", None),
    ],
)
def test_what_spreadsheets_and_scripts_break_is_one_sentence(
    name: str, content: str | bytes, sentence: str | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    if sentence is None:
        assert len(read(Table(source=name, text="behavior"), tmp_path)) == 1
        return
    with pytest.raises(UserError) as error:
        read(Table(source=name, text="behavior"), tmp_path)
    assert error.value.message.startswith(f"{tmp_path / name}{sentence}")


def test_a_parquet_file_of_broken_texts_is_one_sentence(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    broken = pa.array([b"How \xff so?"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"behavior": broken}), tmp_path / "s.parquet")
    with pytest.raises(UserError, match="holds a text that is not in UTF-8; save it anew"):
        read(Table(source="s.parquet", text="behavior"), tmp_path)


def test_a_cell_without_a_number_is_empty(tmp_path: Path) -> None:
    rows = [{"behavior": "Where?", "kind": float("nan")}]
    assert read(Table(source=saved(tmp_path, ".parquet", rows), text="behavior", category="kind"), tmp_path) == [
        ("Where?", None)
    ]


@pytest.mark.parametrize("name", ["../outside.csv", "/outside.csv", "..", "a/../../outside.csv", "../folder"])
@pytest.mark.parametrize("revision", [None, COMMIT])
def test_a_source_outside_of_its_folder_is_refused(name: str, revision: str | None, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("behavior\ntext\n")
    (tmp_path / "sets").mkdir()
    for read_or_check in (read_external, lambda source, folder: assert_readable(source, folder, list)):
        with pytest.raises(UserError, match=r"^seed set: source: .* leads out of .*/sets, where nothing tracks it"):
            read_or_check(Table(source=name, revision=revision, text="behavior"), tmp_path / "sets")


def test_a_link_to_a_source_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("behavior\ntext\n")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets/mine.csv").symlink_to("../outside.csv")
    with pytest.raises(UserError, match=r"^seed set: source: '.*/sets/mine.csv' is a link out of .*/sets"):
        read_external(Table(source="mine.csv", text="behavior"), tmp_path / "sets")


def test_a_folder_here_is_not_taken_for_a_dataset_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org/name").mkdir(parents=True)
    (tmp_path / "org/name/train.csv").write_text("behavior\ntext\n")
    with pytest.raises(UserError, match=r"^seed set: source: org/name is a folder here, which nothing tracks"):
        read_external(Table(source="org/name", revision=COMMIT, text="behavior"), tmp_path / "data")
