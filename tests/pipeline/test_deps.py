from pathlib import Path

from refuseu.pipeline.closure import closure
from refuseu.pipeline.deps import code_of_stages, with_code

ROOT = Path(__file__).parents[2]
PIPELINE = """\
# A comment.
stages:
  base:
    deps:
      - data/phrasebook
      - stages/run
      - src/refuseu/old.py
    outs:
      - models/base

  dpo:
    do:
      deps:
        - models/base
        - src/refuseu/old.py
      params:
        - seed
"""


def test_the_code_is_replaced_and_nothing_else() -> None:
    written = with_code(PIPELINE, {"base": ["stages/run", "stages/base.py"], "dpo": ["stages/dpo.py"]})
    assert written == PIPELINE.replace(
        "      - stages/run\n      - src/refuseu/old.py", "      - stages/run\n      - stages/base.py"
    ).replace("        - src/refuseu/old.py", "        - stages/dpo.py")


def test_the_committed_pipeline_is_what_make_deps_writes() -> None:
    committed = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert with_code(committed, code_of_stages(ROOT)) == committed


def test_the_closure_follows_imports_inside_functions_and_packages(tmp_path: Path) -> None:
    package = tmp_path / "src" / "refuseu"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "room" / "__init__.py").write_text('"""A room."""\n')
    (package / "room" / "far.py").write_text("import os\n")
    (package / "near.py").write_text("def use() -> None:\n    from refuseu.room import far\n")
    script = tmp_path / "script.py"
    script.write_text("import refuseu.near\n")
    assert closure(script, tmp_path) == {
        "script.py",
        "src/refuseu/near.py",
        "src/refuseu/room/__init__.py",
        "src/refuseu/room/far.py",
    }
