"""Damaged and hostile input of every kind ends in one sentence, or is read: never in a traceback.

500 inputs, the same each time; ``make fuzz`` tries 10,000 others.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameter_files import write
from repository import ROOT
from tiny import save_untrained

from refuseu.core.errors import UserError
from refuseu.core.files import read_json, read_yaml
from refuseu.core.schema import read_table
from refuseu.engines.transformers import TransformersEngine
from refuseu.eval.schemas import ANSWER
from refuseu.llm.protocol import Sampling, user
from refuseu.parameters import load_all, load_whole_machine
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.results.outcomes import read_outcomes
from refuseu.review.causes import broken_file
from refuseu.sources.sheets import read_rows
from refuseu.tables.reading import Batches
from refuseu.tables.schemas import REJECTION
from refuseu.weights.reference import ModelReference

INPUTS = int(os.environ.get("REFUSEU_FUZZ", "500"))
LOADED = INPUTS // 20
"""Of these, model folders that are loaded and asked, which takes longest."""
PIECES = [
    *(
        "!!bool x",
        "!!int x",
        "!!float x",
        "!!binary x",
        "!!timestamp 2001-99-99",
        "!!python/object:os.system x",
        "!<x> 1",
    ),
    *(
        "[" * 3000,
        "{a: " * 3000,
        "- " * 3000,
        '{"a":' * 3000,
        "[" * 3000 + "]" * 3000,
        "9" * 5000,
        "1e999",
        "-1",
        "0",
        "0.5",
    ),
    *(
        "NaN",
        "Infinity",
        "null",
        "~",
        "true",
        "[]",
        "{}",
        "''",
        '"',
        "'",
        ":",
        "- ",
        "? ",
        "<<: ",
        "&a ",
        "*a",
        "---\n",
        "%YAML 9\n",
    ),
    *(
        "\0",
        "\x1b[2J",
        "\u2028",
        "\ufeff",
        "\\ud800",
        "1:60:60",
        "2001-01-01",
        "<<<<<<< HEAD\n",
        ",",
        ";",
        "\t",
        "\n",
        "=1+1",
    ),
]
"""What damages a file: what a person mistypes, a kill cuts off and somebody hostile writes."""


def inputs(number: int) -> Callable[[Any], Any]:
    """Run a test with so many inputs; those of ``make test`` are the same each time."""
    unhurried = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(
        max_examples=max(number, 1),
        derandomize=INPUTS == 500,
        deadline=None,
        database=None,
        suppress_health_check=unhurried,
    )


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """``whole`` with one to three places cut out, written twice, or filled with something else; or something else altogether."""
    if draw(st.integers(0, 9)) == 0:
        return draw(
            st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=5).map("".join).map(str.encode)
        )
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(whole)))
        end = min(len(whole), start + draw(st.sampled_from([0, 0, 1, 8, 100])))
        piece = draw(st.sampled_from(PIECES).map(str.encode) | st.binary(max_size=4) | st.just(whole[start:end] * 2))
        whole = whole[:start] + piece + whole[end:]
    return whole


def one_sentence(read: Callable[[], object]) -> None:
    """Read, and look at what is said where that fails: a sentence of one line that ends in the way out."""
    try:
        read()
    except UserError as error:
        assert error.message.strip()
        assert "Traceback" not in error.message


ROWS = pd.DataFrame({"question_id": ["a", "b"], "lang": ["en", "de"], "reason": ["early", "late"]})
OUTCOMES = {
    "kinds": {"asr": ["harmful"]},
    "questions": [
        {"question_id": "q1", "kind": "harmful"}
        | dict.fromkeys(("behavior_id", "frame_id", "category", "style", "held_out", "held_out_frame"))
    ],
    "outcomes": [{"rate": "asr", "model": "base", "seed": 0, "lang": "en", "outcomes": "1"}],
}
LOCK = "schema: '2.0'\nstages:\n  a:\n    cmd: echo\n    outs:\n    - path: x\n      hash: md5\n      md5: abc\n      size: 2\n"


def as_parquet(folder: Path) -> bytes:
    pq.write_table(pa.Table.from_pandas(ROWS, preserve_index=False), folder / "rows.parquet")
    return (folder / "rows.parquet").read_bytes()


@inputs(INPUTS // 5)
@given(content=st.data())
def test_yaml_and_json(content: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "file"
    whole = st.sampled_from([LOCK.encode(), json.dumps(OUTCOMES).encode(), b"a: {b: [1, x, no], c: 'd'}\n"])
    path.write_bytes(content.draw(damaged(content.draw(whole))))
    for read in (
        lambda: read_yaml(path, "mend it"),
        lambda: read_yaml(path, "mend it", texts=True),
        lambda: read_json(path),
        lambda: read_outcomes(path),
    ):
        one_sentence(read)
    shutil.copy(path, tmp_path / "dvc.lock")
    broken_file(tmp_path)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write(tmp_path_factory.mktemp("project"))
    shutil.copytree(ROOT / "machines", root / "machines")
    return root


@inputs(INPUTS // 5)
@given(content=st.data())
def test_parameters_profiles_and_machines(content: st.DataObject, project: Path) -> None:
    name = content.draw(st.sampled_from(["params.yaml", "profiles/smoke.yaml", "machines/cpu.yaml"]))
    before = (project / name).read_bytes()
    (project / name).write_bytes(content.draw(damaged(before)))
    try:
        one_sentence(lambda: load_all(project))
        one_sentence(lambda: load_whole_machine(project))
    finally:
        (project / name).write_bytes(before)


@inputs(INPUTS // 5)
@given(content=st.data())
def test_phrasebooks(content: st.DataObject, folder: Path) -> None:
    path = content.draw(st.sampled_from(sorted(folder.iterdir())))
    before = path.read_bytes()
    path.write_bytes(content.draw(damaged(before)))
    try:
        one_sentence(
            lambda: load_phrasebooks(folder, ["en", "de"], {"S1": "First", "S2": "Second"}, {"slang": "Slang"})
        )
    finally:
        path.write_bytes(before)


@inputs(INPUTS // 5)
@given(content=st.data())
def test_tables(content: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(content.draw(damaged(as_parquet(tmp_path))))
    one_sentence(lambda: read_table(path, REJECTION))
    one_sentence(lambda: read_table(path, ANSWER))
    one_sentence(lambda: list(Batches(path, REJECTION, ("reason",))))
    path.write_bytes(content.draw(damaged(ROWS.to_csv(index=False).encode())))
    one_sentence(lambda: read_rows(path, ["question_id", "lang"], "mend it", ["reason"]))


@pytest.fixture(scope="module")
def whole_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    save_untrained(folder)
    return folder


ODD = [None, -1, 0, 1, 3, 1.5, float("nan"), float("inf"), 10**30, True, "", "x", [], [1], {}, {"a": 1}]
TEMPLATES = [
    *(
        "{% include 'x' %}",
        "{{ 1/0 }}",
        "{% import 'x' as y %}",
        "{{ messages[9].content }}",
        "{{ x.y.z }}",
        "{% for %}",
        "{{",
    ),
    *(
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ range(10**9) | list }}",
        "{{ 'x' * 10**12 }}",
        "{{ ''.__class__ }}",
    ),
    *(
        "{{ raise_exception('no') }}",
        "{{ strftime_now('%Y') }}",
        "{{ [] | random }}",
        "{{ none + 1 }}",
        "{{ 'x' | nofilter }}",
    ),
]


@inputs(LOADED)
@given(content=st.data())
def test_model_folders(content: st.DataObject, whole_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole_model, folder)
    path = folder / content.draw(st.sampled_from(["config.json", "tokenizer_config.json", "generation_config.json"]))
    match content.draw(st.sampled_from(["value", "bytes", "template", "other"])):
        case "value":
            read = json.loads(path.read_text(encoding="utf-8"))
            read[content.draw(st.sampled_from(sorted(read)))] = content.draw(st.sampled_from(ODD))
            path.write_text(json.dumps(read), encoding="utf-8")
        case "bytes":
            path.write_bytes(content.draw(damaged(path.read_bytes())))
        case "template":
            template = folder / "chat_template.jinja"
            template.write_text(
                content.draw(st.sampled_from(TEMPLATES)) + template.read_text(encoding="utf-8"), encoding="utf-8"
            )
        case "other":
            path.write_text(json.dumps(content.draw(st.sampled_from(ODD))), encoding="utf-8")

    def asked() -> None:
        engine = TransformersEngine(ModelReference.read(folder), "identity", batch_size=1)
        list(engine.complete([user("How can I sing?")], Sampling(max_new_tokens=1)))

    one_sentence(asked)
