"""Folders of models that bring code. None of it runs, also where standard input says yes to everything."""

import ast
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import broken
import pandas as pd
import pytest
from repository import ROOT
from tiny import ONE_CORE
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from refuseu.core.errors import UserError
from refuseu.dpo.settings import Dpo, Full
from refuseu.dpo.train import train_dpo
from refuseu.engines.transformers import TransformersEngine
from refuseu.llm.preflight import assert_sound
from refuseu.llm.protocol import Sampling, completed, user
from refuseu.translate.seq2seq import Seq2SeqModel
from refuseu.weights.loading import load_adapter, load_model, load_tokenizer, skeleton
from refuseu.weights.reference import ModelReference

CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
Path({marker!r}).touch()
class Config(LlamaConfig):
    model_type = "hostile"
class Model(LlamaForCausalLM):
    config_class = Config
class Tokens(PreTrainedTokenizerFast):
    pass
def generate(model, *arguments, **options):
    return model.generate(*arguments, **options)
"""
AUTO = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model", "AutoModelForSeq2SeqLM": "code.Model"}
TOKENS = {"AutoTokenizer": ["code.Tokens", "code.Tokens"], "AutoProcessor": "code.Tokens"}
DPO = Dpo(
    method=Full(kind="full"), dtype="float32", bf16=False, reference="online", steps=1, batch_size=2, learning_rate=0.01,
    warmup=0.1, beta=0.1, sft_weight=1.0, max_length=64, max_dropped=0.0,
)  # fmt: skip
ROW = {"question_id": "q", "lang": "en", "kind": "harmful", "prompt": "Why?", "chosen": "No.", "rejected": "Yes!"}


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def own_configuration(folder: Path) -> None:
    edited(folder / "config.json", auto_map=AUTO, model_type="hostile")


def own_model(folder: Path) -> None:
    edited(folder / "config.json", auto_map={**AUTO, **TOKENS})


def own_tokenizer(folder: Path) -> None:
    edited(folder / "tokenizer_config.json", auto_map=TOKENS, tokenizer_class="Tokens")


def own_everything(folder: Path) -> None:
    own_tokenizer(folder)
    edited(folder / "config.json", auto_map={**AUTO, **TOKENS}, model_type="hostile")
    for name in ("processor_config.json", "preprocessor_config.json"):
        (folder / name).write_text(json.dumps({"auto_map": TOKENS, "processor_class": "Tokens"}), encoding="utf-8")


def own_generation(folder: Path) -> None:
    (folder / "custom_generate").mkdir()
    shutil.copy(folder / "code.py", folder / "custom_generate/generate.py")


def own_template(folder: Path) -> None:
    reach = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages.__init__.__globals__ }}"
    (folder / "chat_template.jinja").write_text(reach, encoding="utf-8")


KINDS = (own_configuration, own_model, own_tokenizer, own_everything, own_generation, own_template)


def trained(reference: ModelReference, out: Path) -> None:
    train_dpo(pd.DataFrame([ROW, ROW]), reference, DPO, ONE_CORE, 1, out)


def asked(reference: ModelReference) -> None:
    completed(TransformersEngine(reference, "m", 1, dtype="float32"), [user("Why?")], Sampling(2))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_loader_runs_code_of_a_folder(
    kind: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    marker = tmp_path / "ran"
    folder = broken.whole(tmp_path / "model")
    adapter = broken.adapter(folder, tmp_path / "adapter")
    for each in (folder, adapter):
        (each / "code.py").write_text(CODE.format(marker=str(marker)), encoding="utf-8")
    shutil.copy(folder / "config.json", adapter / "config.json")
    edited(adapter / "config.json", auto_map=AUTO, model_type="hostile")
    kind(folder)
    model = ModelReference(folder)
    loaders: dict[str, Callable[[], object]] = {
        "model": lambda: load_model(AutoModelForCausalLM, model),
        "seq2seq": lambda: load_model(AutoModelForSeq2SeqLM, model),
        "tokenizer": lambda: load_tokenizer(model),
        "skeleton": lambda: skeleton(model),
        "adapter": lambda: load_adapter(load_model(AutoModelForCausalLM, model), ModelReference(adapter), "a"),
        "doctor": lambda: assert_sound(model),
        "engine": lambda: asked(model),
        "translator": lambda: Seq2SeqModel(model, 9, 1),
        "training": lambda: trained(model, tmp_path / "out"),
    }
    for name, load in loaders.items():
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 100))
        try:
            load()
        except UserError as error:
            assert error.message.startswith(str(folder)) and "\n" not in error.message, name
        assert sys.stdin.read() == "y\n" * 100, f"{name} asked"
        assert not marker.exists(), name


def test_every_load_in_the_code_says_that_no_code_is_trusted() -> None:
    """Without the word transformers asks at the terminal, where a yes may lie on standard input."""
    silent = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and called(node.func)
                in (
                    "from_pretrained",
                    "LLM",
                    "from_config",
                    "DPOConfig",
                )
                and "Quantizer" not in ast.unparse(node.func)
            ):
                given = {each.arg: ast.unparse(each.value) for each in node.keywords}
                if given.get("trust_remote_code") != "False":
                    silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert silent == []


def called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
