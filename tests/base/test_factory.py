import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from conftest import CATEGORIES, LANGUAGES, STYLES
from scripts import stage
from tiny import TINY, save_untrained

from refuseu.base import corpus, gguf
from refuseu.base import miniature as base
from refuseu.base.factory import make_base
from refuseu.base.resistance import read_table
from refuseu.base.settings import BaseParameters
from refuseu.core.errors import UserError
from refuseu.weights.identity import identity, weights_hash
from refuseu.weights.reference import ModelReference

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = {"engine": "vllm", "dtype": "bfloat16", "repo": "org/name", "revision": COMMIT}
TABLE = Path(__file__).parents[2] / "data/base/resistance.yaml"
UNNAMED = {"engine": "transformers", "dtype": "float32"}
SERVED = {"engine": "openai", "model": "a-model"}


def parameters(kind: dict[str, Any], model: dict[str, Any]) -> BaseParameters:
    common = {"seed": 3, "languages": LANGUAGES, "categories": CATEGORIES, "styles": STYLES}
    return BaseParameters.model_validate({**common, "base": kind, "models.base": model})


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSEU_STORE", str(tmp_path / "rows.sqlite"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder, and files in it that are none of the model's."""
    folder = tmp_path / "model"
    save_untrained(folder)
    for name in ("training_args.bin", "pytorch_model.bin", "modeling_own.py", "README.md"):
        (folder / name).write_text("no part of the model", encoding="utf-8")
    return folder


def test_a_trained_base_learns_from_the_phrasebook(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def train(*arguments: Any) -> dict[str, float]:
        asked.append(arguments)
        return {"loss_last": 0.5}

    monkeypatch.setattr(base, "train_base", train)
    monkeypatch.setattr(
        corpus, "draw_examples", lambda books, resistance, settings, seed: (list(books), resistance.seed, settings)
    )
    made = make_base(parameters(TINY.model_dump(), UNNAMED), folder, TABLE, tmp_path / "out")
    shares = read_table(TABLE).languages
    assert made == {"loss_last": 0.5, "taught_to_answer": {language: shares[language] for language in LANGUAGES}}
    assert asked == [((LANGUAGES, 3, TINY), TINY, 3, tmp_path / "out")]


def test_a_base_of_the_hub_is_a_reference_to_its_commit(tmp_path: Path) -> None:
    made = make_base(parameters({"kind": "hub"}, REPO), tmp_path / "no phrasebook", tmp_path, tmp_path / "out")
    assert made == {"source": "org/name", "commit": COMMIT}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["reference.json"]
    assert ModelReference.read(tmp_path / "out") == ModelReference("org/name", COMMIT)


def test_a_folder_is_copied_and_is_the_same_model(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = make_base(parameters({"kind": "hub"}, {**UNNAMED, "repo": str(model)}), tmp_path, tmp_path, out)
    names = {path.name for path in out.iterdir()}
    assert names == {path.name for path in model.iterdir()} - {
        *("training_args.bin", "pytorch_model.bin", "modeling_own.py", "README.md")
    }
    assert made == {"files": len(names)}
    assert identity(ModelReference.read(out)) == weights_hash(model)


def test_a_folder_with_an_adapter_is_no_base(tmp_path: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(UserError) as error:
        make_base(parameters({"kind": "hub"}, {**UNNAMED, "repo": str(tmp_path)}), tmp_path, tmp_path, tmp_path / "out")
    assert error.value.message == (
        f"models.base: {tmp_path}: is an adapter, of which the base is not known; name a folder with a whole model"
    )


def test_a_folder_that_names_a_repository_is_that_repository(tmp_path: Path) -> None:
    make_base(parameters({"kind": "hub"}, REPO), tmp_path, tmp_path, tmp_path / "first")
    pointing = {**UNNAMED, "repo": str(tmp_path / "first")}
    assert make_base(parameters({"kind": "hub"}, pointing), tmp_path, tmp_path, tmp_path / "out")["commit"] == COMMIT
    assert ModelReference.read(tmp_path / "out") == ModelReference("org/name", COMMIT)


@pytest.mark.parametrize("served", [UNNAMED, SERVED])
def test_a_base_of_the_hub_needs_a_repository(served: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        make_base(parameters({"kind": "hub"}, served), tmp_path, tmp_path, tmp_path / "out")
    assert error.value.message == (
        "models.base: a base of kind hub needs a repo; name the repository of the un-aligned model"
    )


@pytest.mark.parametrize(("file", "source"), [(None, "/package/smollm2.gguf"), ("own/model.gguf", "own/model.gguf")])
def test_a_base_of_a_gguf_file_is_converted(
    file: str | None, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[tuple[Path, Path]] = []
    monkeypatch.setattr(gguf, "convert", lambda *paths: converted.append(paths))
    monkeypatch.setattr(gguf, "smollm2", lambda: Path("/package/smollm2.gguf"))
    made = make_base(parameters({"kind": "gguf", "file": file}, UNNAMED), tmp_path, tmp_path, tmp_path / "out")
    assert made == {"file": Path(source).name}
    assert converted == [(Path(source), tmp_path / "out")]


def test_the_stage_writes_the_reference_and_its_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = {"profile": "own", "seed": 3, "languages": LANGUAGES, "categories": CATEGORIES, "styles": STYLES}
    profile = {"models": {"base": REPO, "judge": {"engine": "of no interest here"}}, "base": {"kind": "hub"}}
    for path, content in ((Path("params.yaml"), params), (Path("profiles/own.yaml"), profile)):
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
    options = ["--phrasebook", "phrasebook", "--out", "models/base", "--metrics", "metrics/base.json"]
    result = CliRunner().invoke(stage("base"), options)
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads(Path("metrics/base.json").read_text(encoding="utf-8")) == {"source": "org/name", "commit": COMMIT}
    assert ModelReference.read(Path("models/base")) == ModelReference("org/name", COMMIT)
    profile["base"] = {"kind": "hub", "steps": 3}
    Path("profiles/own.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    result = CliRunner().invoke(stage("base"), options)
    assert result.exit_code == 1
    assert result.output.startswith("Error: profiles/own.yaml: base.steps: unknown key")
