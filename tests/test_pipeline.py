"""``dvc.yaml`` tells the truth: dependencies are the import closure, and no stage reads an undeclared parameter."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from repository import ROOT

from refuseu import config
from refuseu.parameters import Section
from refuseu.pipeline.closure import closure, files_of, first_party_imports

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = {name: definition.get("do", definition) for name, definition in PIPELINE.items()}
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


def declared_code(name: str) -> set[str]:
    found: set[str] = set()
    for dependency in STAGES[name]["deps"]:
        if dependency.startswith(("src/", "stages/")):
            path = ROOT / dependency
            files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
            found |= {str(file.relative_to(ROOT)) for file in files}
    return found


def stage_config(name: str) -> type[Section]:
    words = name.replace("-", " ").title().replace(" ", "")
    found: type[Section] = getattr(config, f"{words}Config")
    return found


@pytest.mark.parametrize("name", STAGES)
def test_dependencies_are_the_import_closure(name: str) -> None:
    assert declared_code(name) == closure(ROOT / "stages" / f"{name}.py", ROOT) | {"stages/run"}


@pytest.mark.parametrize("name", STAGES)
def test_parameters_read_are_the_parameters_declared(name: str) -> None:
    keys = set(config.parameter_names(stage_config(name)))
    profiles = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "profiles").rglob("*.yaml"))]
    declared = {entry for entry in STAGES[name]["params"] if isinstance(entry, str)}
    in_profile = {
        key for entry in STAGES[name]["params"] if isinstance(entry, dict) for key in entry["profiles/${profile}.yaml"]
    }
    assert declared == {key for key in keys if key in PARAMS}
    assert in_profile == {key for key in keys if any(key in profile for profile in profiles)}


@pytest.mark.parametrize("name", STAGES)
def test_a_script_loads_its_own_config_and_no_other(name: str) -> None:
    script = (ROOT / "stages" / f"{name}.py").read_text()
    assert f"load({stage_config(name).__name__})" in script
    assert script.count("load(") == 1


def test_stage_and_script_share_one_name() -> None:
    assert set(STAGES) == {path.stem for path in (ROOT / "stages").glob("*.py")}
    for name, definition in STAGES.items():
        assert definition["cmd"].startswith(f"stages/run {name} ")


def test_stage_scripts_stay_thin() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "stages").glob("*.py")}
    assert {name: lines for name, lines in lengths.items() if lines >= 70} == {}


def test_closure_follows_imports_inside_functions(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("def main() -> None:\n    from refuseu.store import Store\n")
    assert [file.name for file in files_of("refuseu.store", ROOT)][-1] == "store.py"
    assert "store.py" in [file.name for file in first_party_imports(script, ROOT)]


FLOOR_ZERO = {
    "taxonomy": [],
    "errors": [],
    "order": ["taxonomy"],
    "documents": ["errors"],
    "parameters": ["documents", "errors", "taxonomy"],
    "config": ["documents", "errors", "parameters", "taxonomy"],
}


@pytest.mark.parametrize(("floor", "below"), FLOOR_ZERO.items())
def test_floor_zero_imports_nothing_above(floor: str, below: list[str]) -> None:
    own, *_ = reversed(files_of(f"refuseu.{floor}", ROOT))
    assert closure(own, ROOT) - {str(own.relative_to(ROOT))} == {f"src/refuseu/{name}.py" for name in below}


def test_trl_has_one_importer() -> None:
    importers = {
        str(path.relative_to(ROOT / "src" / "refuseu").parts[0])
        for path in (ROOT / "src").rglob("*.py")
        if "import trl" in path.read_text() or "from trl " in path.read_text()
    }
    assert importers == {"training"}


def test_generated_outputs_are_ignored_by_git_and_small_results_are_not() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    for definition in STAGES.values():
        for out in definition.get("outs", []):
            if isinstance(out, str):
                assert any(f"/{out.split('/${')[0]}/".startswith(line) for line in ignored), out
            else:
                (small,) = out
                assert not any(f"/{small}".startswith(line) for line in ignored), small
