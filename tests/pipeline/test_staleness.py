import json
import shutil
from pathlib import Path

from repository import ROOT

from refuseu.pipeline.deps import code_of_stages
from refuseu.pipeline.staleness import PAGE, page, page_of, stages_by_file
from refuseu.processes import run_module

PARTS = ("src", "stages", "profiles", "dvc.yaml", "dvc.lock", "params.yaml")
"""All that ``dvc status`` looks at, outputs apart."""


def test_every_file_names_the_stages_that_depend_on_it() -> None:
    code = {"base": ["b.py", "a.py"], "eval": ["a.py"]}
    assert stages_by_file(code) == {"a.py": ["base", "eval"], "b.py": ["base"]}
    written = page(code, {"a.py": 10, "b.py": 5})
    assert "| base | 2 | 15 |\n| eval | 1 | 10 |" in written
    assert "| a.py | 10 | base, eval |\n| b.py | 5 | base |" in written


def test_the_page_is_what_make_staleness_writes() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page_of(ROOT)


def test_dvc_reruns_what_the_page_says(tmp_path: Path) -> None:
    """One file of each room is edited in a copy, all before one look at ``dvc status``."""
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    expected = stages_by_file(code_of_stages(tmp_path))
    edited = {str(Path(path).parent): path for path in expected}.values()
    for path in edited:
        with (tmp_path / path).open("a") as file:
            file.write("# A comment.\n")
    status = json.loads(run_module("dvc", "--cd", str(tmp_path), "status", "--json").stdout)
    for path in edited:
        stale = {stage.partition("@")[0] for stage, changes in status.items() if changed(changes, path)}
        assert stale == set(expected[path]), path


def changed(changes: list[dict[str, dict[str, str]] | str], path: str) -> bool:
    return any(path in change.get("changed deps", {}) for change in changes if isinstance(change, dict))
