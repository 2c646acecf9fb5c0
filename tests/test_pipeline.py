"""``dvc.yaml`` tells the truth: dependencies are the import closure, and no stage reads an undeclared parameter."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from repository import ROOT

from refuseu.parameters.section import Section
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


def parameters_of(name: str) -> type[Section]:
    words = name.replace("-", " ").title().replace(" ", "")
    module = importlib.import_module(f"refuseu.parameters.{name.replace('-', '_')}")
    found: type[Section] = getattr(module, f"{words}Parameters")
    return found


@pytest.mark.parametrize("name", STAGES)
def test_dependencies_are_the_import_closure(name: str) -> None:
    assert declared_code(name) == closure(ROOT / "stages" / f"{name}.py", ROOT) | {"stages/run"}


@pytest.mark.parametrize("name", STAGES)
def test_parameters_read_are_the_parameters_declared(name: str) -> None:
    keys = {field.alias or key for key, field in parameters_of(name).model_fields.items()}
    profiles = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "profiles").rglob("*.yaml"))]

    def stands(key: str, content: dict[str, Any]) -> bool:
        section, _, part = key.partition(".")
        return section in content and (not part or part in content[section])

    declared = {entry for entry in STAGES[name]["params"] if isinstance(entry, str)}
    in_profile = {
        key for entry in STAGES[name]["params"] if isinstance(entry, dict) for key in entry["profiles/${profile}.yaml"]
    }
    assert declared == {key for key in keys if stands(key, PARAMS)}
    assert in_profile == {key for key in keys if any(stands(key, profile) for profile in profiles)}


@pytest.mark.parametrize("name", STAGES)
def test_a_script_loads_its_own_parameters_and_no_others(name: str) -> None:
    script = (ROOT / "stages" / f"{name}.py").read_text()
    assert f"load({parameters_of(name).__name__})" in script
    assert len(re.findall(r"(?<![\w.])load\(", script)) == 1


def test_stage_and_script_share_one_name() -> None:
    assert set(STAGES) == {path.stem for path in (ROOT / "stages").glob("*.py")}
    for name, definition in STAGES.items():
        assert definition["cmd"].startswith(f"stages/run {name} ")


def test_stage_scripts_stay_thin() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "stages").glob("*.py")}
    assert {name: lines for name, lines in lengths.items() if lines >= 75} == {}


def test_closure_follows_imports_inside_functions(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("def main() -> None:\n    from refuseu.store import Store\n")
    assert [file.name for file in files_of("refuseu.store", ROOT)][-1] == "store.py"
    assert "store.py" in [file.name for file in first_party_imports(script, ROOT)]


def rooms_of_the_readme() -> list[str]:
    """The rooms in the order of the README's list, which imports go up only."""
    listed = re.search(r"imports go up this list only:\n((?: {18}.*\n)+)", (ROOT / "README.md").read_text())
    assert listed
    names = re.sub(r":.*", "", listed[1], flags=re.M)
    return re.findall(r"[a-z_]+", names)


def test_imports_go_up_the_readmes_list_only() -> None:
    library = ROOT / "src/refuseu"
    rooms = rooms_of_the_readme()
    assert sorted(rooms) == sorted(
        {path.stem for path in library.iterdir() if path.name[0] not in "_." and path.suffix != ".typed"}
    )
    for path in library.rglob("*.py"):
        room = path.relative_to(library).parts[0].removesuffix(".py")
        for file in first_party_imports(path, ROOT):
            other = file.relative_to(library).parts[0].removesuffix(".py")
            if other not in ("__init__", room):
                assert rooms.index(other) < rooms.index(room), f"{path} imports {other}"


STAGE_ROOMS = {"redteam", "translation", "responses", "labelling", "splitting", "training", "evaluation"}


@pytest.mark.parametrize("room", sorted(STAGE_ROOMS))
def test_a_room_of_a_stage_imports_no_other_stages_room(room: str) -> None:
    library = ROOT / "src/refuseu"
    files = [library / f"{room}.py"] if (library / f"{room}.py").is_file() else sorted((library / room).glob("*.py"))
    used = {
        file.relative_to(library).parts[0].removesuffix(".py")
        for path in files
        for file in first_party_imports(path, ROOT)
    }
    assert used & STAGE_ROOMS <= {room}


def test_training_depends_on_no_other_stages_section_or_table() -> None:
    code = declared_code("dpo")
    assert {path for path in code if "/parameters/" in path} == {
        f"src/refuseu/parameters/{name}.py"
        for name in ("dpo", "loading", "machine_file", "section", "training_machine")
    }
    assert {path for path in code if "/records/" in path} == {
        f"src/refuseu/records/{name}.py" for name in ("mix", "schema")
    }


def test_every_stage_says_what_it_does() -> None:
    assert all(definition["desc"] for definition in STAGES.values())


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
