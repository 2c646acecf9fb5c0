"""Ready models and sets: every entry of the boards, and how a run names them."""

import json
from pathlib import Path
from typing import Any

import pytest
from evaluated import asking
from parameter_files import Content, write
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.core.sections import load
from refuseu.engines.vllm import VllmModel
from refuseu.eval.models import computed
from refuseu.eval.sets import read_sets
from refuseu.eval.settings import NAME, EvalParameters, ExternalWeights, read_boards
from refuseu.parameters import load_all

PAPER = read_boards(ROOT)["paper"]

ROWS: dict[tuple[str, str | None, str], list[Content]] = {
    ("ToxicityPrompts/RTP-LX", None, "test"): [
        {"Index": 1, "Locale": "EN", "Prompt": "One?", "PromptAnnotations": {"Toxicity": 3.0}},
        {"Index": 1, "Locale": "PT-BR", "Prompt": "Um?", "PromptAnnotations": None},
    ],
    **{
        ("ToxicityPrompts/PolygloToxicityPrompts", f"ptp-{lang}", "small"): [
            {"text": f"Two {lang}? And so on.", "prompt": f"Two {lang}?", "prompt_toxicity": 0.1}
        ]
        for lang in ("en", "de", "fr", "it", "es", "pt", "pl", "cs")
    },
    ("ToxicityPrompts/PolyGuardPrompts", None, "test"): [
        {"prompt": "Three?", "prompt_harm_label": "harmful", "language": "English", "id": 1},
        {"prompt": "Drei?", "prompt_harm_label": "unharmful", "language": "German", "id": 1},
        {"prompt": "Third?", "prompt_harm_label": None, "language": "English", "id": 2},
    ],
    ("DAMO-NLP-SG/MultiJail", None, "train"): [{"id": 0, "source": "s", "en": "Four?", "it": "Quattro?", "tags": "[]"}],
    ("Paul/XSTest", None, "train"): [
        {"id": 1, "prompt": "Five?", "type": "homonyms", "label": "safe", "focus": "f", "note": ""},
        {"id": 26, "prompt": "Fifth?", "type": "contrast_homonyms", "label": "unsafe", "focus": "f", "note": ""},
    ],
    **{
        ("walledai/AyaRedTeaming", None, split): [{"prompt": f"Six {split}?", "language": split.title()}]
        for split in ("english", "french", "spanish")
    },
}
"""By dataset, config and split: rows with the columns of the cards, and of the public code that reads them; texts are ours."""


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, config: str | None, *, split: str, revision: str) -> list[Content]:
        return ROWS[name, config, split]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)


@pytest.mark.parametrize("name", PAPER.models)
def test_every_model_can_be_run_beside_any_base(name: str) -> None:
    entry, base = PAPER.models[name], load_all(ROOT, "miniature").models["base"]
    assert isinstance(entry, ExternalWeights)
    assert NAME.fullmatch(name)
    model = computed(name, entry, base)
    assert isinstance(model, VllmModel)
    assert json.loads(model.chat_template_kwargs) == (entry.model_extra or {})["chat_template_kwargs"]


@pytest.mark.parametrize(
    ("name", "languages", "kinds", "left_out"),
    [
        ("rtp-lx", ["en"], ["harmful"], 1),
        ("polyglo-toxicity", ["en", "de"], ["harmful"] * 2, 6),
        ("polyguard-prompts", ["en", "de"], ["harmful", "benign"], 1),
        ("multijail", ["en"], ["harmful"], 1),
        ("xstest", ["en", "en"], ["benign", "harmful"], 0),
        ("aya-red-teaming", ["en"], ["harmful"], 2),
    ],
)
def test_every_set_is_read_by_the_columns_of_its_card(
    name: str, languages: list[str], kinds: list[str], left_out: int, tmp_path: Path
) -> None:
    entry = PAPER.sets[name]
    assert NAME.fullmatch(name)
    assert entry.revision
    questions, accounts = read_sets(asking({name: entry}), tmp_path, [])
    assert (questions["lang"].tolist(), questions["kind"].tolist()) == (languages, kinds)
    assert not questions["question_id"].duplicated().any()
    assert sum(accounts[name]["rejected"].values()) == left_out


def test_the_sets_that_are_tested_are_all_sets() -> None:
    assert {source for source, _, _ in ROWS} == {entry.source for entry in PAPER.sets.values()}


def board(names: list[Any], **others: Content) -> Any:
    return lambda params, profile: params["eval"].update(board=names, **others)


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """A repository's root whose only own file is the boards'."""
    (tmp_path / "boards").symlink_to(ROOT / "boards")
    return tmp_path


def test_a_run_names_entries_in_a_word_and_all_by_the_board(boards: Path) -> None:
    mine = {"source": "mine.csv", "text": "t", "every_lang": "en"}
    write(boards, board(["xstest", "qwen-2-5-7b"], sets={"mine": mine}))
    whole, stage = load_all(boards).eval, load(EvalParameters, boards).eval
    assert whole == stage
    assert (list(whole.models), list(whole.sets)) == (["qwen-2-5-7b"], ["mine", "xstest"])


def test_the_boards_name_takes_all_of_it(boards: Path) -> None:
    evaluated = load_all(write(boards, board(["paper"]))).eval
    assert (evaluated.models, evaluated.sets) == (PAPER.models, PAPER.sets)


@pytest.mark.parametrize(
    ("names", "own", "sentence"),
    [
        (["xtest"], {}, "params.yaml: eval.board: no file of boards has 'xtest', is it xstest?"),
        (
            ["xstest"],
            {"sets": {"xstest": {"source": "mine.csv", "text": "t", "every_lang": "en"}}},
            "params.yaml: eval.sets.xstest: eval.board names it too; give one of the two another name",
        ),
    ],
)
def test_a_name_that_means_nothing_or_two_things(boards: Path, names: list[str], own: Content, sentence: str) -> None:
    write(boards, board(names, **own))
    with pytest.raises(UserError) as caught:
        load_all(boards)
    assert caught.value.message == sentence


def test_a_wrong_entry_is_said_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "ours.yaml").write_text(
        "sets: {new: {source: a.csv, text: t, languge: x}}", encoding="utf-8"
    )
    write(tmp_path, board(["new"]))
    with pytest.raises(UserError, match=r"boards/ours\.yaml: sets\.new\.languge: unknown key"):
        load_all(tmp_path)
