"""How often judges agree with people."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from repository import ROOT
from scripted import Scripted

from refuseu.commands.judge_check import Labelled, main, read_labelled, table, turned
from refuseu.core.errors import UserError
from refuseu.engines.registry import EngineFactory
from refuseu.judges.injections import INJECTIONS
from refuseu.judges.registry import KINDS
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict

HEADER = "lang,question,answer,reply,harm\n"
REFUSED, COMPLIED = Verdict(Harm.SAFE, Reply.REFUSAL), Verdict(Harm.HARMFUL, Reply.COMPLIANCE)
UNPARSED = Verdict(Harm.UNPARSED, Reply.UNPARSED)
NOT_REPORTED = Verdict(Harm.SAFE, Reply.NOT_REPORTED)
RULING = '{"harm": "safe", "reply": "refusal"}'
GUARDED = """Harmful request: yes
Request safety violations: S2
Response refusal: no
Harmful response: yes
Response safety violations: S2"""


def written(folder: Path, content: str) -> Path:
    path = folder / "labelled.csv"
    path.write_text(content, encoding="utf-8")
    return path


def labelled(replies: Sequence[str], lang: str = "en", harm: str = "") -> list[Labelled]:
    return [Labelled(Exchange(lang, "?", "x"), reply, harm) for reply in replies]


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Without injections, unless the test names their number."""
    monkeypatch.chdir(ROOT)
    none = () if "--injections" in arguments else ("--injections", "0")
    return CliRunner().invoke(main, [*arguments, *none])


def test_the_file_is_read_with_and_without_harm(tmp_path: Path) -> None:
    row = 'EN,How?,"Mix, and bake.",Compliance'
    exchange = Exchange("en", "How?", "Mix, and bake.")
    assert read_labelled(written(tmp_path, f"{HEADER}{row},\n")) == [Labelled(exchange, "compliance", "")]
    assert read_labelled(written(tmp_path, f"{HEADER}{row},SAFE\n")) == [Labelled(exchange, "compliance", "safe")]
    without = HEADER.replace(",harm", "")
    assert read_labelled(written(tmp_path, f"{without}{row}\n")) == [Labelled(exchange, "compliance", "")]


def test_what_a_model_reasoned_is_not_judged(tmp_path: Path) -> None:
    row = 'en,Why?,"<think>\nSure, here is how.\n</think>\n\nI cannot help with that.",refusal'
    (read,) = read_labelled(written(tmp_path, f"{HEADER}{row},\n"))
    assert read.exchange.answer == "I cannot help with that."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("lang,question,answer\nen,How?,No.\n", "no column 'reply'"),
        (HEADER + "xx,How?,No.,refusal,\n", "line 2: language 'xx' is none of en, de"),
        (
            HEADER + "en,How?,No.,refusal,\nen,How?,No.,perhaps,\n",
            "line 3: reply 'perhaps' is none of refusal, compliance",
        ),
        (HEADER + "en,How?,No.,,\n", "line 2: reply '' is none of"),
        (HEADER + "en,How?,No.,refusal,bad\n", "line 2: harm 'bad' is none of harmful, safe"),
        (HEADER, "holds no answer; it needs the columns lang"),
        (HEADER.replace("reply", "harm"), "no column 'reply'"),
        ("lang,question,answer,reply,harm,harm\n", "2 columns 'harm'"),
    ],
)
def test_a_wrong_file_is_one_sentence(content: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(UserError) as error:
        read_labelled(path)
    assert error.value.message.startswith(f"{path}: ")
    assert said in error.value.message


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv: no such file; it needs the columns"):
        read_labelled(tmp_path / "none.csv")


def test_the_measures_count_unparsed_as_wrong_and_show_it_apart() -> None:
    answers = labelled(["refusal"] * 4 + ["compliance"] * 4)
    said = [REFUSED, REFUSED, REFUSED, COMPLIED, COMPLIED, COMPLIED, REFUSED, UNPARSED]
    [english, everything] = table(answers, {"judge": said}, "reply").rows
    assert english[:3] == ["judge", "en", "8"]
    # By hand: 5 of 8, 3 of 4, 2 of 4, 1 of 8.
    assert [cell.split(" ")[0] for cell in (english[3], english[4], english[5], english[8])] == [
        "62.5",
        "75.0",
        "50.0",
        "12.5",
    ]
    assert english[3] == "62.5 (30.6–86.3)"
    # AC1's agreement by chance: (8/16 * 8/16 + 7/16 * 9/16 + 1/16 * 15/16) / 2 = 0.2773, kappa's 0.5 * 0.5 + 0.5 * 0.375.
    assert english[6:8] == ["0.48", "0.33"]
    assert everything == ["judge", "all", *english[2:]]


def test_languages_are_apart_and_answers_without_a_label_are_left_out() -> None:
    answers = [
        *labelled(["refusal"], "pl", "safe"),
        *labelled(["refusal"], "de", "harmful"),
        *labelled(["refusal"], "de"),
    ]
    rows = table(answers, {"judge": [REFUSED, REFUSED, REFUSED]}, "harm").rows
    assert [row[:3] for row in rows] == [["judge", "de", "1"], ["judge", "pl", "1"], ["judge", "all", "2"]]
    assert [row[3].split(" ")[0] for row in rows] == ["0.0", "100.0", "50.0"]
    assert [row[7] for row in rows] == ["0.00", "–", "0.00"]


def test_the_example_is_measured_as_the_docs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("docs/examples/judge-check.csv", monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    assert "### reply" in result.output
    assert "### harm" not in result.output
    [line] = [line for line in result.output.splitlines() if line.startswith("| phrases | all |")]
    assert line in (ROOT / "docs/judges.md").read_text(encoding="utf-8")


def test_several_judges_are_shown_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(
        tmp_path, HEADER + "en,How?,I cannot help with that.,refusal,safe\nen,How?,Mix and bake.,compliance,\n"
    )
    result = run(str(path), "--judge", "phrases", "--judge", "lexicon", monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    lines = [line.split(" | ")[:3] for line in result.output.splitlines() if line.startswith(("| p", "| l"))]
    reply = [[f"| {name}", lang, "2"] for name in ("phrases", "lexicon") for lang in ("en", "all")]
    assert lines == [*reply, *([name, lang, "1"] for name, lang, _ in reply)]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Scripted]:
    """The models that play the judges of the profile paper-8b; they say the same of every exchange."""
    said = {"llama-guard-3": "\n\nunsafe\nS2", "polyguard": GUARDED, "gpt-4o-mini": "safe"}
    engines = {name: Scripted(lambda *_, text=text: text) for name, text in said.items()}
    monkeypatch.setattr(EngineFactory, "named", lambda own, name: own._named.setdefault(name, engines[name]))
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    return engines


def by_profile(path: Path, *names: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    judges = [word for name in names for word in ("--judge", name)]
    return run(str(path), "--profile", "paper-8b", *judges, monkeypatch=monkeypatch)


def test_the_judges_of_a_profile_are_measured_as_the_stage_label_does(
    models: dict[str, Scripted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, HEADER + "en,How?,Mix.,compliance,harmful\nlt,How?,Mix.,compliance,harmful\n")
    result = by_profile(path, "llama-guard-3", "polyguard", "chat", "phrases", monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    reply, harm = result.output.split("### harm")
    cells = [[line.split(" | ") for line in part.splitlines() if " | all | " in line] for part in (reply, harm)]
    # Accuracy and unparsed. Llama Guard and the chat model tell no replies, and chat says safe.
    assert [[(line[0], line[3][:5], line[8][:5]) for line in lines] for lines in cells] == [
        [
            ("| llama-guard-3", "0.0 (", "100.0"),
            ("| polyguard", "100.0", "0.0 ("),
            ("| chat", "0.0 (", "100.0"),
            ("| phrases", "100.0", "0.0 ("),
        ],
        [
            ("| llama-guard-3", "100.0", "0.0 ("),
            ("| polyguard", "100.0", "0.0 ("),
            ("| chat", "0.0 (", "0.0 ("),
            ("| phrases", "100.0", "0.0 ("),
        ],
    ]
    assert result.output.endswith(
        "llama-guard-3 is not officially made for lt.\npolyguard is not officially made for lt.\n"
        "gpt-4o-mini: scripted\nllama-guard-3: scripted\npolyguard: scripted\n"
    )
    assert [len(engine.asked) for engine in models.values()] == [2, 2, 2]


def test_the_panel_is_measured_as_it_decides_in_the_evaluation(
    models: dict[str, Scripted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guards differ on one answer of two, and the adjudicator rules on that one alone; unanimity would say nothing of it."""
    refused = GUARDED.replace("Harmful response: yes", "Harmful response: no").replace("refusal: no", "refusal: yes")
    models["polyguard"] = Scripted(lambda text, _: GUARDED if "Mix." in text else refused)
    path = written(tmp_path, HEADER + "en,How?,Mix.,compliance,harmful\nen,How?,Never.,refusal,safe\n")
    result = by_profile(path, "panel", monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    harm = [line.split(" | ") for line in result.output.split("### harm")[1].splitlines() if " | all | " in line]
    # Judge, accuracy, sensitivity, specificity and unparsed.
    assert [(line[0], *(cell.split(" ")[0] for cell in (*line[3:6], line[8]))) for line in harm] == [
        ("| llama-guard-3", "50.0", "100.0", "0.0", "0.0"),
        ("| polyguard", "100.0", "100.0", "100.0", "0.0"),
        ("| panel", "100.0", "100.0", "100.0", "0.0"),
    ]
    assert "panel: the judges differ on 1 of 2 answers, which the adjudicator decided.\n" in result.output
    assert len(models["gpt-4o-mini"].asked) == 1


@pytest.mark.parametrize(
    ("profile", "found"),
    [("paper-8b", "llama-guard-3, polyguard, chat, panel"), ("miniature", "lexicon, ngrams, nearest, panel")],
)
def test_a_name_that_nobody_has_is_one_sentence_before_any_work(
    profile: str, found: str, models: dict[str, Scripted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, HEADER + "en,How?,Mix.,compliance,\n")
    names = ("--judge", *(["polyguard", "--judge"] if profile == "paper-8b" else []), "oracle")
    result = run(str(path), "--profile", profile, *names, monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: judge 'oracle' is none of the kinds {', '.join(KINDS)}, nor of the judges of the profile "
        f"{profile}, which are {found}; name one of them, or another profile (make: PROFILE=paper-8b)\n"
    )
    assert not any(engine.asked for engine in models.values())


def test_a_kind_that_is_not_on_the_panel_asks_the_profiles_model_of_its_name(
    models: dict[str, Scripted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models["chat"] = Scripted(lambda *_: RULING)
    path = written(tmp_path, HEADER + "en,How?,No.,refusal,\n")
    result = run(str(path), "--profile", "miniature", "--judge", "chat", monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    assert "| chat | all | 1 | 100.0" in result.output
    assert len(models["chat"].asked) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "qwen3guard",
            "Error: judge 'qwen3guard': strict: missing; describe the judge in the section label of profiles/miniature.yaml",
        ),
        ("polyguard", "Error: models.polyguard: the profile has no such model with a repo; it has base"),
    ],
)
def test_a_kind_that_needs_more_is_one_sentence(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))
    path = written(tmp_path, HEADER + "en,How?,Mix.,compliance,\n")
    result = run(str(path), "--profile", "miniature", "--judge", name, monkeypatch=monkeypatch)
    assert (result.exit_code, result.output) == (1, f"{said}\n")


def test_judges_that_need_no_model_ask_for_no_machine_and_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSEU_MACHINE", "nowhere")
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "store/rows.sqlite"))
    path = written(tmp_path, HEADER + "en,How?,Mix.,compliance,\n")
    assert run(str(path), "--judge", "phrases", monkeypatch=monkeypatch).exit_code == 0
    assert not (tmp_path / "store").exists()
    result = by_profile(path, "polyguard", monkeypatch=monkeypatch)
    assert (result.exit_code, "REFUSEU_MACHINE must be one of: cpu" in result.output) == (1, True)


def test_a_judge_is_measured_on_what_it_calls_harmful_alone() -> None:
    alone = {"judge": [COMPLIED, COMPLIED, COMPLIED, REFUSED, UNPARSED]}
    begging = {"a": {"judge": [REFUSED, COMPLIED, UNPARSED, REFUSED, REFUSED]}, "b": alone}
    assert turned(alone, begging).rows == [
        ["judge", "a", "3", "33.3 (6.1–79.2)", "33.3 (6.1–79.2)"],
        ["judge", "b", "3", "0.0 (0.0–56.1)", "0.0 (0.0–56.1)"],
    ]
    assert turned({"other": [REFUSED]}, {"a": {"other": [REFUSED]}}).rows == [["other", "a", "0", "–", "–"]]


def test_the_rates_of_the_judges_by_rule_are_those_that_the_docs_show(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [word for name in ("phrases", "lexicon", "ngrams", "nearest") for word in ("--judge", name)]
    result = run("docs/examples/judge-check.csv", *names, "--injections", "10", monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    _, found = result.output.split("### injections\n\n")
    shown = found.split("\n\n")[0]
    assert len(shown.splitlines()) == 2 + 4 * len(INJECTIONS)
    assert shown in (ROOT / "docs/judges.md").read_text(encoding="utf-8")


def test_a_guard_reads_its_own_words_and_not_those_of_an_answer(
    models: dict[str, Scripted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, HEADER + "en,How?,Mix.,compliance,harmful\n")
    named = ("--profile", "paper-8b", "--judge", "panel", "--judge", "polyguard")
    result = run(str(path), *named, "--injections", "2", monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    rows = [line.split(" | ") for line in result.output.split("### injections")[1].splitlines() if "| 2 |" in line]
    assert [[cell.split(" ")[0] for cell in row[2:4]] for row in rows] == [["2", "0.0"]] * len(INJECTIONS) * 3
    asked = {prompt[-1]["content"] for prompt, _ in models["polyguard"].asked if not isinstance(prompt, str)}
    assert len(asked) == 1 + 2 * (1 + len(INJECTIONS))
    assert any("Harmful response: no" in text for text in asked)
