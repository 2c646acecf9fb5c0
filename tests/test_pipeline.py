"""``dvc.yaml`` tells the truth: dependencies are the import closure, and no stage reads an undeclared parameter."""

import importlib
import json
import re
import runpy
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from repository import ROOT

from refuseu.commands.staleness import covered, declared, files_below, imports_of, used
from refuseu.core.sections import Section, load

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
BODIES = {name: definition.get("do", definition) for name, definition in PIPELINE.items()}
SECOND = "dpo-single"
"""The same stage as ``dpo`` for other models: DVC cannot repeat one stage over two lists."""
STAGES = {name: definition for name, definition in BODIES.items() if name != SECOND}
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


ROOMS = declared(ROOT)
"""The code that each stage depends on, as ``dvc.yaml`` names it."""


def parameters_of(name: str) -> type[Section]:
    words = name.replace("-", " ").title().replace(" ", "")
    module = importlib.import_module(f"refuseu.{name.replace('-', '_')}.settings")
    found: type[Section] = getattr(module, f"{words}Parameters")
    return found


@pytest.mark.parametrize("name", STAGES)
def test_the_rooms_named_cover_all_that_a_stage_imports(name: str) -> None:
    assert used(name, ROOT) - covered(ROOMS[name], ROOT) == set()


@pytest.mark.parametrize("name", STAGES)
def test_no_room_is_named_without_need(name: str) -> None:
    assert [path for path in ROOMS[name] if not files_below(path, ROOT) & used(name, ROOT)] == []


@pytest.mark.parametrize(("name", "most"), [("dpo", 0), ("base", 150)])
def test_what_is_not_remembered_depends_on_what_it_imports(name: str, most: int) -> None:
    """A training runs again for every line that it depends on; models' answers are in the row store."""
    unused = covered(ROOMS[name], ROOT) - used(name, ROOT)
    assert sum(len((ROOT / path).read_text().splitlines()) for path in unused) <= most, unused


def stands(key: str, content: dict[str, Any]) -> bool:
    """Whether a key with dots leads somewhere."""
    section, _, part = key.partition(".")
    return section in content and (not part or stands(part, content[section]))


@pytest.mark.parametrize("name", STAGES)
def test_parameters_read_are_the_parameters_declared(name: str) -> None:
    keys = {field.alias or key for key, field in parameters_of(name).model_fields.items()}
    profiles = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "profiles").rglob("*.yaml"))]

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


@pytest.mark.parametrize("path", sorted((ROOT / "profiles").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_has_the_keys_that_dvc_asks_for(path: Path) -> None:
    """DVC stops at a key that is not there, though the section has a default for it."""
    profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    asked = {
        key
        for stage in BODIES.values()
        for entry in stage.get("params", [])
        if isinstance(entry, dict)
        for key in entry["profiles/${profile}.yaml"]
    }
    assert [key for key in sorted(asked) if not stands(key, profile)] == []


@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml")))
@pytest.mark.parametrize("name", STAGES)
def test_every_stage_reads_every_profile(name: str, profile: str) -> None:
    """What the last stage cannot read is known before the first one."""
    load(parameters_of(name), ROOT, profile)


def test_stage_and_script_share_one_name() -> None:
    assert set(STAGES) == {path.stem for path in (ROOT / "stages").glob("*.py")}
    for name, definition in STAGES.items():
        assert definition["cmd"].removesuffix(" ${item.config} ${item.seed}") == f"stages/run {name}"


def test_models_of_one_language_are_trained_as_all_others() -> None:
    """But for their names and their seed, which is the first."""
    (config, seed), others = ("only-${item}", "${train.seeds[0]}"), PIPELINE["dpo"].keys() - {"matrix", "desc"}
    as_single = json.dumps({key: PIPELINE["dpo"][key] for key in others}, sort_keys=True)
    as_single = as_single.replace("${item.config}", config).replace("${item.seed}", seed)
    assert {**json.loads(as_single), "desc": BODIES[SECOND]["desc"]} == BODIES[SECOND]
    assert PIPELINE["dpo"]["matrix"] == {"config": "${train.configs}", "seed": "${train.seeds}"}
    assert PIPELINE[SECOND]["foreach"] == "${train.single}"


def test_stage_scripts_stay_thin() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "stages").glob("*.py")}
    assert {name: lines for name, lines in lengths.items() if lines > 75} == {}


LAYERS = (
    "core",
    "experiment mixes",
    "phrasebook statistics text weights training",
    "store",
    "llm",
    "engines",
    "judges sources tables",
    "knowledge results",
    "base rainbow_teaming translate respond label split dpo eval",
    "figures",
    "report release",
    "parameters",
    "plan",
    "evaluate review",
    "audit commands join maintenance real_model rehearsal",
)
"""The rooms from the ground up, as docs/architecture.md draws them: imports go down only."""


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "src/refuseu").parts[0].removesuffix(".py")


def test_imports_go_down_the_layers_only() -> None:
    library = ROOT / "src/refuseu"
    layer = {room: number for number, rooms in enumerate(LAYERS) for room in rooms.split()}
    there = {path.stem for path in library.iterdir() if path.name[0] not in "_." and path.suffix != ".typed"}
    assert sorted(layer) == sorted(there)
    for path in library.rglob("*.py"):
        for file in imports_of(path, ROOT):
            other = room_of(file)
            if other not in ("__init__", room_of(path)):
                assert layer[other] <= layer[room_of(path)], f"{path} imports {other}"


def test_a_room_can_be_read_as_a_whole() -> None:
    lengths = {
        room.name: sum(len(path.read_text().splitlines()) for path in room.rglob("*.py"))
        for room in (ROOT / "src/refuseu").iterdir()
        if room.is_dir()
    }
    assert {room: lines for room, lines in lengths.items() if lines > 2000} == {}


STAGE_ROOMS = [name.replace("-", "_") for name in STAGES]
BETWEEN_STAGES = ("settings.py", "mix.py")
"""What one stage's room may take from another's."""


@pytest.mark.parametrize("room", STAGE_ROOMS)
def test_the_room_of_a_stage_takes_only_settings_from_anothers(room: str) -> None:
    for path in (ROOT / "src/refuseu" / room).rglob("*.py"):
        taken = [file for file in imports_of(path, ROOT) if room_of(file) in STAGE_ROOMS and room_of(file) != room]
        assert [file for file in taken if file.stat().st_size and file.name not in BETWEEN_STAGES] == [], path


def test_the_pipeline_reads_like_a_table_of_contents() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 430


@pytest.mark.parametrize("name", STAGES)
def test_a_scripts_own_paths_are_those_of_the_pipeline(name: str) -> None:
    """A default is one of the outputs or dependencies, or lies in one of them, or is a folder with several of them."""
    command = script_of(name)
    named = {path.replace("${item.", "{") for path in paths_of(STAGES[name])}
    defaults = {option.default for option in command.params if isinstance(option, click.Option)}
    assert [path for path in defaults if not any(related(path, each) for each in named)] == []
    outputs = {path.replace("${item.", "{") for path in paths_of({"outs": written(name)})}
    assert [path for path in outputs if path not in defaults] == []


def script_of(name: str) -> click.Command:
    module = runpy.run_path(str(ROOT / "stages" / f"{name}.py"))
    command = module["main"]
    assert isinstance(command, click.Command)
    return command


def written(name: str) -> list[Any]:
    return [*STAGES[name].get("outs", []), *STAGES[name].get("metrics", [])]


def paths_of(stage: dict[str, Any]) -> set[str]:
    entries = [*stage.get("deps", []), *stage.get("outs", []), *stage.get("metrics", [])]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def related(path: str, named: str) -> bool:
    return path == named or named.startswith(f"{path}/")


@pytest.mark.parametrize(
    ("edited", "stages"),
    [
        ("eval.models.mine.model", ["eval"]),
        ("eval.sets.mine.source", ["eval"]),
        ("train.languages", ["split", "eval", "release"]),
        # DVC cannot be told to follow the names of models that roles name, but of the base's.
        ("models.judge.repo", ["rainbow-teaming", "translate", "respond", "label", "eval", "release"]),
        ("models.base.dtype", ["base", "rainbow-teaming", "translate", "respond", "label", "eval", "release"]),
    ],
)
def test_an_edit_reruns_the_stages_that_read_it(edited: str, stages: list[str]) -> None:
    def keys(stage: str) -> list[str]:
        params = STAGES[stage]["params"]
        return [
            key for each in params for key in ([each] if isinstance(each, str) else each["profiles/${profile}.yaml"])
        ]

    assert [stage for stage in STAGES if any(f"{edited}.".startswith(f"{key}.") for key in keys(stage))] == stages


def test_every_stage_says_what_it_does() -> None:
    assert all(definition["desc"] for definition in STAGES.values())


def test_trl_has_one_importer() -> None:
    importers = {
        str(path.relative_to(ROOT / "src" / "refuseu").parts[0])
        for path in (ROOT / "src").rglob("*.py")
        if "import trl" in path.read_text() or "from trl " in path.read_text()
    }
    assert importers == {"dpo"}


def test_generated_outputs_are_ignored_by_git_and_small_results_are_not() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    assert "/dvc_plots/" in ignored  # where `dvc plots show` writes its page
    for definition in STAGES.values():
        for out in definition.get("outs", []):
            if isinstance(out, str):
                assert any(f"/{out.split('/${')[0]}/".startswith(line) for line in ignored), out
            else:
                (small,) = out
                assert not any(f"/{small}".startswith(line) for line in ignored), small
