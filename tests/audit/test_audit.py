import csv
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from refuseu.audit import sample, score
from refuseu.audit.page import page
from refuseu.audit.sample import COLUMNS, as_csv, draw, name_of, names_of, with_source
from refuseu.audit.score import accuracy_table, agreement_table
from refuseu.results.markdown import escape
from refuseu.results.spreadsheet import harmless_cell, written_cell
from refuseu.tables.schemas import PART, TEST, TRANSLATION
from refuseu.tables.writing import write_table

pytestmark = pytest.mark.slow

EVIL = "</script><script>document.title = 'run'</script><img src=x onerror=alert(1)>"


def pairs(languages: tuple[str, ...] = ("en", "pl"), n: int = 4, text: str = "Jak śpiewać?") -> pd.DataFrame:
    """``n`` pairs in each of 2 categories x 2 styles x 2 kinds a language."""
    return pd.DataFrame(
        [
            {
                "question_id": f"{category}-{style}-{kind}-{number}",
                "lang": lang,
                "kind": kind,
                "group_id": "slot",
                "category": category,
                "style": style,
                "behavior_id": "ask",
                "frame_id": f"{style}-0",
                "text": text,
                "chosen": "Nie.",
                "rejected": "Tak.",
                "held_out": False,
                "held_out_frame": False,
                "english": "" if lang == "en" else "How does one sing?",
            }
            for lang in languages
            for category in ("S1", "S2")
            for style in ("slang", "puns")
            for kind in ("harmful", "benign")
            for number in range(n)
        ],
        columns=[*PART.columns, "english"],
    )


def test_a_sample_has_its_rows_in_each_language_evenly_over_the_strata() -> None:
    drawn = draw(pairs(n=10), 16, 1)
    assert Counter(drawn["lang"]) == {"en": 16, "pl": 16}
    assert set(Counter(zip(drawn["lang"], drawn["category"], drawn["style"], drawn["kind"], strict=True)).values()) == {
        2
    }
    assert drawn["id"].is_unique


def test_the_seed_decides_and_the_order_of_the_rows_does_not() -> None:
    assert draw(pairs(n=10), 5, 1).equals(draw(pairs(n=10).sample(frac=1, random_state=3).reset_index(drop=True), 5, 1))
    assert not draw(pairs(n=10), 5, 1).equals(draw(pairs(n=10), 5, 2))


def test_no_stratum_and_no_pair_is_always_first() -> None:
    first = [draw(pairs(("en",)), 1, seed).iloc[0] for seed in range(20)]
    assert len({(row["category"], row["style"], row["kind"]) for row in first}) > 1
    assert len({row["id"].split("-")[3] for row in first}) > 1


def test_each_language_has_a_draw_of_its_own() -> None:
    by_language = [set(rows["id"].str[:-3]) for _, rows in draw(pairs(n=10), 8, 1).groupby("lang")]
    assert by_language[0] != by_language[1]


def test_fewer_than_asked_for_are_all_taken() -> None:
    assert len(draw(pairs(n=1), 100, 1)) == 16


def test_large_strata_fill_up_what_small_ones_lack() -> None:
    sizes = {"S1": 1, "S2": 3, "S3": 9}
    rows = pairs(("en",), n=9).query("style == 'slang' and kind == 'harmful'")
    uneven = pd.concat([rows.iloc[:size].assign(category=name) for name, size in sizes.items()], ignore_index=True)
    uneven["question_id"] = uneven.index.astype(str)
    assert Counter(draw(uneven, 9, 1)["category"]) == {"S1": 1, "S2": 3, "S3": 5}
    assert Counter(draw(uneven, 100, 1)["category"]) == sizes


@pytest.mark.parametrize(("text", "cell"), [("=1+1", "'=1+1"), ("@x", "'@x"), ("-3", "'-3"), ("a=1", "a=1"), ("", "")])
def test_a_spreadsheet_runs_no_cell(text: str, cell: str) -> None:
    assert harmless_cell(text) == cell


def test_no_word_of_the_data_is_html() -> None:
    class Elements(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: Counter[str] = Counter()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found[tag] += 1

    clean, evil = Elements(), Elements()
    html = page(draw(pairs(text=EVIL), 4, 1).to_dict("records"), "0" * 12)
    clean.feed(page(draw(pairs(), 4, 1).to_dict("records"), "0" * 12))
    evil.feed(html)
    assert evil.found == clean.found
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert data is not None
    assert json.loads(data.group(1))["pairs"][0]["question"] == EVIL
    assert "default-src 'none'; script-src 'sha256-" in html
    assert "innerHTML" not in html and "{{" not in html


def translations(rows: pd.DataFrame, chrf: float | None = 100.0) -> pd.DataFrame:
    """The table of ``translate``, where the English text of a question is its id."""
    texts = rows["text"].where(rows["lang"] != "en", rows["question_id"])
    return rows.assign(text=texts, lang_restricted=rows["lang"], lang_free=rows["lang"], chrf=chrf)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    translated = []
    for part in ("train", "test"):
        rows = pairs(n=2)
        rows["question_id"] = part + rows["question_id"]
        write_table(rows, tmp_path / f"data/split/{part}.parquet", PART)
        translated.append(rows)
    write_table(translations(pd.concat(translated)), tmp_path / "data/translate/questions.parquet", TRANSLATION)
    result = CliRunner().invoke(sample.main, ["--a-language", "10"])
    assert result.exit_code == 0 and result.output.startswith("20 pairs, sample ")
    return tmp_path


def verdicts_file(project: Path, verdicts: list[str], name: str = "verdicts.csv", **changes: str) -> Path:
    with (project / "audit/sample.csv").open(encoding="utf-8-sig", newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    base = {"sample": names_of(project / "audit/sample.csv")[0], "reviewer": "Anna"}
    rows = [{**base, "id": one, "verdict": verdict, **changes} for one, verdict in zip(ids, verdicts, strict=False)]
    pd.DataFrame(rows).to_csv(project / name, index=False)
    return project / name


def test_verdicts_are_scored(project: Path) -> None:
    path = verdicts_file(project, ["accept"] * 8 + ["reject", "unsure"] + ["accept"] * 10)
    result = CliRunner().invoke(score.main, [str(path)])
    assert result.exit_code == 0, result.output
    assert "| en | 8 | 1 | 1 | 88.9 | 56.5–98.0 |" in result.output
    assert "| all | 18 | 1 | 1 | 94.7 | 75.4–99.1 |" in result.output


def test_two_reviewers_have_a_kappa(project: Path) -> None:
    one = verdicts_file(project, ["accept", "accept", "reject", "reject"], "anna.csv")
    other = verdicts_file(project, ["accept", "reject", "reject", "reject"], "jan.csv", reviewer="Jan")
    result = CliRunner().invoke(score.main, [str(one), str(other)])
    assert "### Anna and Jan\n" in result.output
    assert "| all | 4 | 75.0 | 0.67 | 0.50 |" in result.output
    assert "copy" not in result.output


def test_agreement_is_over_the_pairs_that_both_judged() -> None:
    one = {"a": "accept", "b": "reject", "c": "accept"}
    table = agreement_table(one, {"a": "accept", "b": "reject"}, dict.fromkeys("abc", "en"))
    assert "| all | 2 | 100.0 | 1.00 | 1.00 |" in table


def test_no_reviewer_is_compared_with_themselves(project: Path) -> None:
    path = verdicts_file(project, ["accept", "reject"], "anna.csv")
    (project / "copy.csv").write_bytes(path.read_bytes())
    (project / "link.csv").hardlink_to(path)
    (project / "symlink.csv").symlink_to(path)
    later = verdicts_file(project, ["accept"] * 4, "later.csv", reviewer=" ANNA ")
    for other in ("anna.csv", f"{project}/audit/../anna.csv", "copy.csv", "link.csv", "symlink.csv", str(later)):
        result = CliRunner().invoke(score.main, ["anna.csv", other])
        assert result.exit_code == 1
        assert result.output.startswith(f"Error: anna.csv and {other} are both by 'Anna'")


def test_a_name_is_the_same_person_in_both_forms_of_unicode(project: Path) -> None:
    for name, form in (("one.csv", "NFC"), ("other.csv", "NFD")):
        verdicts_file(project, ["accept", "reject"], name, reviewer=unicodedata.normalize(form, "Zoë Łukáš"))
    result = CliRunner().invoke(score.main, ["one.csv", "other.csv"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: one.csv and other.csv are both by 'Zoë Łukáš'")
    lines = [(project / name).read_text().splitlines() for name in ("one.csv", "other.csv")]
    (project / "mixed.csv").write_text("\n".join([*lines[0][:2], lines[1][2]]))
    assert "2 of 20 pairs judged" in CliRunner().invoke(score.main, ["mixed.csv"]).output


def test_equal_verdicts_of_two_names_are_said(project: Path) -> None:
    paths = [verdicts_file(project, ["accept", "reject"], f"{name}.csv", reviewer=name) for name in ("Anna", "Jan")]
    result = CliRunner().invoke(score.main, [str(path) for path in paths])
    assert "Every verdict is the same, on the same items: make sure that neither file is a copy" in result.output


def test_what_excel_makes_of_a_file_is_scored_the_same(project: Path) -> None:
    path = verdicts_file(project, ["accept"] * 8 + ["reject", "unsure"] + ["accept"] * 10)
    as_saved = CliRunner().invoke(score.main, [str(path)])
    text = path.read_text().replace(",", ";").replace("accept", "Accept ").replace("Anna", "Łucja")
    path.write_bytes((text + ";;;\n;;;\n").replace("\n", "\r\n").encode("utf-16"))
    result = CliRunner().invoke(score.main, [str(path)])
    assert result.output == as_saved.output.replace("Anna", "Łucja")


def test_a_terminal_without_the_letters_gets_the_tables(project: Path) -> None:
    path = verdicts_file(project, ["accept", "reject"], reviewer="Łucja")
    environment = {**os.environ, "PYTHONIOENCODING": "iso-8859-15"}
    command = [sys.executable, "-m", "refuseu.audit.score", str(path)]
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"### ?ucja: 2 of 20 pairs judged" in result.stdout


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sample": "abc"}, "line 2: is about sample 'abc'"),
        ({"id": "nobody"}, "line 2: id 'nobody' is not in the sample"),
        ({"verdict": "yes"}, "line 2: verdict 'yes' is none of accept, reject, unsure"),
        ({"verdict": ""}, "line 2: verdict '' is none of accept, reject, unsure"),
        ({"reviewer": " "}, "line 2: names no reviewer"),
    ],
)
def test_a_wrong_line_is_named(changes: dict[str, str], expected: str, project: Path) -> None:
    path = verdicts_file(project, ["accept"], **changes)
    result = CliRunner().invoke(score.main, [str(path)])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {path}: {expected}")


def test_a_doubled_line_a_missing_column_and_no_file_are_named(project: Path) -> None:
    path = verdicts_file(project, ["accept"])
    line = path.read_text().splitlines()[1]
    path.write_text(path.read_text() + line + "\n")
    assert "line 3: id" in CliRunner().invoke(score.main, [str(path)]).output
    path.write_text("sample,id\nx,y\n")
    assert "no column 'reviewer'" in CliRunner().invoke(score.main, [str(path)]).output
    path.write_text("sample,reviewer,id,verdict\n")
    assert "holds no verdict" in CliRunner().invoke(score.main, [str(path)]).output
    path.write_bytes(b"sample,reviewer,id,verdict\n\xff")
    assert (
        "save it once more as UTF-8, in a spreadsheet as 'CSV UTF-8'"
        in CliRunner().invoke(score.main, [str(path)]).output
    )
    assert "none.csv: no such file; 'Save verdicts'" in CliRunner().invoke(score.main, ["none.csv"]).output


def test_a_file_of_two_reviewers_is_named(project: Path) -> None:
    path = verdicts_file(project, ["accept", "accept"])
    first, rest = path.read_text().split("Anna", 1)
    path.write_text(f"{first}Anna{rest.replace('Anna', 'Jan')}")
    output = CliRunner().invoke(score.main, [str(path)]).output
    assert output == f"Error: {path}: line 3: is by 'Jan', those before by 'Anna'; one file of each reviewer\n"


def test_a_damaged_sample_is_named(project: Path) -> None:
    path = verdicts_file(project, ["accept"])
    (project / "audit/sample.csv").write_text("id,language\n1,en\n")
    assert "sample.csv: no column 'lang'" in CliRunner().invoke(score.main, [str(path)]).output


def test_tables_of_nothing_judged() -> None:
    languages = {"a": "en", "b": "pl"}
    assert "| pl | 0 | 0 | 0 | – | – |" in accuracy_table({"a": "accept"}, languages)
    assert "| pl | 0 | – | – | – |" in agreement_table({"a": "accept"}, {"a": "accept"}, languages)


def test_a_sample_that_people_may_have_judged_is_not_overwritten(project: Path) -> None:
    before = {path: path.read_bytes() for path in (project / "audit").iterdir()}
    name = names_of(project / "audit/sample.csv")[0]
    assert CliRunner().invoke(sample.main, ["--a-language", "10"]).exit_code == 0
    refused = CliRunner().invoke(sample.main, ["--a-language", "10", "--seed", "2"])
    assert refused.exit_code == 1
    assert refused.output.startswith(f"Error: audit/sample.csv: holds another sample ({name})")
    assert {path: path.read_bytes() for path in (project / "audit").iterdir()} == before
    beside = re.search(r"--out (\S+)'", refused.output)
    assert beside is not None
    assert (
        CliRunner().invoke(sample.main, ["--a-language", "10", "--seed", "2", "--out", beside.group(1)]).exit_code == 0
    )
    assert CliRunner().invoke(sample.main, ["--a-language", "10", "--seed", "2", "--force"]).exit_code == 0
    assert (project / "audit/sample.csv").read_bytes() == (project / beside.group(1) / "sample.csv").read_bytes()


def test_the_page_and_the_sample_have_one_name(project: Path) -> None:
    name = names_of(project / "audit/sample.csv")[0]
    assert f'"sample": "{name}"' in (project / "audit/index.html").read_text()


def test_languages_with_fewer_pairs_are_said(project: Path) -> None:
    assert "fewer" not in CliRunner().invoke(sample.main, ["--a-language", "32", "--force"]).output
    output = CliRunner().invoke(sample.main, ["--a-language", "40", "--force"]).output
    assert output.endswith("fewer than 40 in en (32), pl (32)\n")


def test_the_same_sample_is_the_same_file() -> None:
    one, two = (as_csv(draw(pairs(), 8, 1)) for _ in range(2))
    assert one == two
    assert one.startswith("\ufeffid,lang,")


def test_the_english_source_stands_beside_what_was_translated_alone(project: Path) -> None:
    rows = pairs(n=1)
    found = with_source(rows, translations(rows))
    assert (found["english"] == found["question_id"]).tolist() == (found["lang"] == "pl").tolist()
    assert found.loc[found["lang"] == "en", "english"].isna().all()
    # The questions of a published set were written in each language; nothing was translated, and no score tells how well.
    assert with_source(rows, translations(rows, None))["english"].isna().all()
    with (project / "audit/sample.csv").open(encoding="utf-8-sig", newline="") as file:
        written = list(csv.DictReader(file))
    assert list(written[0]) == COLUMNS
    assert {row["english"] == row["id"].removesuffix("-pl") for row in written if row["lang"] == "pl"} == {True}
    assert {row["english"] for row in written if row["lang"] == "en"} == {""}


def test_a_set_whose_test_has_no_answers_and_whose_styles_nobody_knows_is_drawn_from(project: Path) -> None:
    train, test = pairs(n=1), pairs(n=1)
    write_table(train.assign(style=None), project / "data/split/train.parquet", PART)
    asked = test.assign(category=None, style=None, chosen=None, rejected=None, question_id="t" + test["question_id"])
    write_table(asked, project / "data/split/test.parquet", TEST)
    result = CliRunner().invoke(sample.main, ["--a-language", "100", "--force"])
    assert result.exit_code == 0 and result.output.startswith("16 pairs, sample ")
    with (project / "audit/sample.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["style"] for row in csv.DictReader(file)} == {""}


def all_digits() -> list[list[str]]:
    """A sample whose name would be a number without its letter."""
    samples = ([[f"q{number}-en"]] for number in range(100_000))
    return next(each for each in samples if name_of(each)[1:].isdigit())


def test_no_name_of_a_sample_is_a_number_to_a_spreadsheet() -> None:
    assert re.fullmatch(r"s\d{12}", name_of(all_digits()))


def spreadsheet(cell: str, decimal: str) -> str:
    """What a spreadsheet gives back of a cell that it read and saved again."""
    if re.fullmatch(r"\d+(?:[.,]\d+)?(?:[eE]\+?\d+)?", cell):
        value = float(cell.replace(",", "."))
        return f"{value:.2E}".replace(".", decimal) if value > 1e10 else f"{value:g}".replace(".", decimal)
    return cell[1:] if written_cell(cell) != cell else "#NAME?" if cell.startswith("=") else cell


@pytest.mark.parametrize(("delimiter", "decimal", "encoding"), [(",", ".", "utf-8-sig"), (";", ",", "utf-16")])
def test_sample_and_verdicts_survive_a_spreadsheet(delimiter: str, decimal: str, encoding: str, project: Path) -> None:
    rows = pairs(n=2).assign(text="=1+1\n  and why?")
    rows["question_id"] = ["0123e5" if number == 3 else f"-{number}" for number in range(len(rows))]
    for part in ("train", "test"):
        write_table(
            rows.assign(question_id=part[:-1] + rows["question_id"]) if part == "test" else rows,
            project / f"data/split/{part}.parquet",
            PART,
        )
    write_table(translations(rows), project / "data/translate/questions.parquet", TRANSLATION)
    assert CliRunner().invoke(sample.main, ["--a-language", "10", "--force"]).exit_code == 0
    verdicts = verdicts_file(project, ["accept"] * 18 + ["reject", "unsure"], reviewer="'-Anna")
    before = CliRunner().invoke(score.main, [str(verdicts)])
    assert before.exit_code == 0 and before.output.startswith("### -Anna: 20 of 20")
    for path in (project / "audit/sample.csv", verdicts):
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [[spreadsheet(cell, decimal) for cell in row] for row in csv.reader(file)]
        with path.open("w", encoding=encoding, newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows([*cells, [""] * len(cells[0])])
    after = CliRunner().invoke(score.main, [str(verdicts)])
    assert (after.exit_code, after.output) == (0, before.output)
    # A saved sample is the same sample to the next draw.
    assert CliRunner().invoke(sample.main, ["--a-language", "10"]).exit_code == 0


@pytest.mark.parametrize("changes", [{"sample": "4.08E+11"}, {"sample": "4,08E+11"}, {"id": "#NAME?"}])
def test_what_a_spreadsheet_made_of_a_name_is_said(changes: dict[str, str], project: Path) -> None:
    path = verdicts_file(project, ["accept"], **changes)
    [(column, value)] = changes.items()
    output = CliRunner().invoke(score.main, [str(path)]).output
    assert output.startswith(
        f"Error: {path}: line 2: {column} {value!r} is what a spreadsheet made of a text that it took"
    )


def test_verdicts_on_a_sample_of_before_are_scored(project: Path) -> None:
    with (project / "audit/sample.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [{name: row[name] for name in COLUMNS if name != "english"} for row in csv.DictReader(file)]
    pd.DataFrame(rows).to_csv(project / "audit/sample.csv", index=False)
    assert re.fullmatch("[0-9a-f]{12}", names_of(project / "audit/sample.csv")[0])
    path = verdicts_file(project, ["accept"])
    assert "1 of 20 pairs judged" in CliRunner().invoke(score.main, [str(path)]).output


def test_notes_are_shown_with_their_verdicts(project: Path) -> None:
    path = verdicts_file(project, ["accept", "reject", ""], note="")
    lines = path.read_text().splitlines()
    ids = [line.split(",")[2] for line in lines[1:]]
    path.write_text("\n".join([*lines[:2], f'{lines[2]}"Odd, | not wrong"', f"{lines[3]}later"]))
    output = CliRunner().invoke(score.main, [str(path)]).output
    assert output.startswith("### Anna: 2 of 20 pairs judged")
    assert f"| {escape(ids[1])} | reject | {escape('Odd, | not wrong')} |" in output
    assert f"| {escape(ids[2])} | – | later |" in output
    path.write_text("\n".join([*lines[:2], lines[3]]))
    assert "line 3: verdict '' is none of" in CliRunner().invoke(score.main, [str(path)]).output


def test_what_cannot_be_seen_is_shown_in_the_sample_and_its_verdicts_are_read(project: Path) -> None:
    rows = pairs(n=2).assign(text="a\0b\x1b[2Jc\u202ed;=1+1;e", chosen="one\r\n- two")
    rows["question_id"] = [f"\x1b{number}" for number in range(len(rows))]
    for part in ("train", "test"):
        named = rows.assign(question_id=part + rows["question_id"]) if part == "test" else rows
        write_table(named, project / f"data/split/{part}.parquet", PART)
    write_table(translations(rows), project / "data/translate/questions.parquet", TRANSLATION)
    assert CliRunner().invoke(sample.main, ["--a-language", "10", "--force"]).exit_code == 0
    content = (project / "audit/sample.csv").read_text(encoding="utf-8-sig")
    assert "a\\x00b\\x1b[2Jc\\u202ed;'=1+1;e" in content and not set("\0\x1b\u202e") & set(content)
    assert not set("\0\x1b\u202e") & set((project / "audit/index.html").read_text(encoding="utf-8"))
    scored = CliRunner().invoke(score.main, [str(verdicts_file(project, ["accept"] * 20))])
    assert (scored.exit_code, scored.output[:22]) == (0, "### Anna: 20 of 20 pai"), scored.output
