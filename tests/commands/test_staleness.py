import json
import shutil
from pathlib import Path

import pytest
from repository import ROOT

from refuseu.commands.staleness import PAGE, declared, files_below, imported, page
from refuseu.review.processes import run_module

LOOKED_AT = ("src", "stages", "profiles", "dvc.yaml", "dvc.lock", "params.yaml")
"""All that ``dvc status`` looks at, outputs apart."""


def test_the_page_is_what_make_staleness_writes() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(ROOT)


def test_dvc_reruns_what_the_page_says(tmp_path: Path) -> None:
    """One file of each room is edited in a copy, all before one look at ``dvc status``."""
    for name in LOOKED_AT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    stages = declared(tmp_path)
    rooms = {path for paths in stages.values() for path in paths}
    for room in rooms:
        with (tmp_path / min(files_below(room, tmp_path))).open("a") as file:
            file.write("# A comment.\n")
    status = json.loads(run_module("dvc", "--cd", str(tmp_path), "status", "--json").stdout)
    for room in rooms:
        # Two stages run the script dpo.
        stale = {
            stage.partition("@")[0].removesuffix("-single")
            for stage, changes in status.items()
            if changed(changes, room)
        }
        assert stale == {stage for stage, paths in stages.items() if room in paths}, room


def changed(changes: list[dict[str, dict[str, str]] | str], path: str) -> bool:
    return any(path in change.get("changed deps", {}) for change in changes if isinstance(change, dict))


def test_imports_inside_functions_packages_and_registries_are_followed(tmp_path: Path) -> None:
    package = tmp_path / "src" / "refuseu"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "room" / "__init__.py").write_text('"""A room."""\n')
    (package / "room" / "far.py").write_text("import os\n")
    (package / "near.py").write_text("def use() -> None:\n    from refuseu.room import far\n")
    (package / "named.py").write_text("import os\n")
    (package / "registry.py").write_text('PARTS = {"named": "refuseu.named:Part"}\n')
    script = tmp_path / "script.py"
    script.write_text("import refuseu.near\nimport refuseu.registry\n")
    assert imported(script, tmp_path) == {
        "script.py",
        "src/refuseu/near.py",
        "src/refuseu/named.py",
        "src/refuseu/registry.py",
        "src/refuseu/room/__init__.py",
        "src/refuseu/room/far.py",
    }


def test_a_relative_import_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from . import near\n")
    with pytest.raises(ValueError, match="relative imports"):
        imported(script, tmp_path)
