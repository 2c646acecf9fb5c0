from pathlib import Path
from typing import Any

import pytest
from parameter_files import write
from twelve import TWELVE

from refuseu.core.errors import UserError
from refuseu.knowledge.settings import FAMILIES, LmEvalTest
from refuseu.parameters import load_all

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def knowledge(root: Path, *tests: dict[str, Any]) -> Path:
    return write(root, lambda _, profile: profile["eval"].update(knowledge={"kind": "lm-eval", "tests": list(tests)}))


def test_belebele_has_all_languages_and_global_mmlu_nine() -> None:
    assert FAMILIES["belebele"].tasks.keys() >= TWELVE
    assert TWELVE - FAMILIES["global-mmlu"].tasks.keys() == {"lv", "sk", "sl"}


def test_a_profile_names_tests(tmp_path: Path) -> None:
    found = load_all(
        knowledge(tmp_path, {"name": "belebele"}, {"name": "arc", "tasks": {"de": "arc_de"}, "limit": 5})
    ).eval
    assert found.knowledge.kind == "lm-eval"
    belebele, arc = found.knowledge.tests
    assert belebele.named(["sk", "en"]) == {"sk": "belebele_slk_Latn", "en": "belebele_eng_Latn"}
    assert arc.named(["en", "de"]) == {"de": "arc_de"}
    assert (belebele.limit, belebele.fewshot, arc.limit) == (None, 0, 5)


def test_the_commit_is_the_familys_unless_another_data_set_or_commit_is_named() -> None:
    assert LmEvalTest(name="belebele").commit == FAMILIES["belebele"].revision
    assert LmEvalTest(name="belebele", revision=COMMIT).commit == COMMIT
    assert LmEvalTest(name="belebele", tasks={"en": "mine"}).commit is None
    assert LmEvalTest(name="arc", tasks={"en": "arc_en"}, revision=COMMIT).commit == COMMIT


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ([{"name": "mmlu"}], "'mmlu' is none of belebele, global-mmlu; name its tasks, language: task"),
        ([{"name": "arc", "tasks": {"xx": "arc_xx"}}], "unknown language 'xx'"),
        ([{"name": "arc", "tasks": {"de": "arc_de", "en": "arc_de"}}], "'arc_de' stands twice"),
        ([{"name": "belebele"}, {"name": "belebele"}], "'belebele' stands twice"),
        (
            [{"name": "belebele", "revision": "main"}],
            "tests: entry 1: revision: must be a commit, 40 hexadecimal digits",
        ),
        ([{"name": "belebele", "limit": 0}], "entry 1: limit: must be greater than 0"),
        ([], "tests"),
    ],
)
def test_a_mistake_is_one_sentence(tests: list[dict[str, Any]], expected: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load_all(knowledge(tmp_path, *tests))
    assert expected in error.value.message
