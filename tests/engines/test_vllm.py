"""What becomes of a GPU's memory that runs out while vLLM answers; vLLM itself is played."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from refuseu.core.errors import UserError
from refuseu.engines import vllm
from refuseu.engines.vllm import VllmMachine, VllmModel, VllmWorker
from refuseu.llm.protocol import Sampling, user
from refuseu.weights.reference import ModelReference

OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.19 GiB."


class PlayedTokenizer:
    """A token a word."""

    chat_template = "played"
    name_or_path = "played"
    added_tokens_decoder: ClassVar[dict[int, Any]] = {}

    def apply_chat_template(self, conversation: list[dict[str, str]], **variables: Any) -> str:
        return " ".join([*(message["content"] for message in conversation), variables.get("risk", "")])

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [len(word) for word in text.split()]}


class PlayedLLM:
    """Is loaded, and fails as soon as it is asked."""

    model_config = SimpleNamespace(max_model_len=64)

    def __init__(self, error: Exception, given: dict[str, Any]) -> None:
        self.error, self.given = error, given
        if isinstance(error, ImportError) or "initialization failed" in str(error):
            raise error

    def generate(self, prompts: list[Any], *_: Any, **__: Any) -> list[Any]:
        self.asked = prompts
        raise self.error


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exception]:
    """What vLLM fails with, under ``error``."""
    fails: dict[str, Exception] = {}
    modules: dict[str, dict[str, Any]] = {
        "vllm": {"LLM": lambda *_, **given: PlayedLLM(fails["error"], given), "SamplingParams": SimpleNamespace},
        "vllm.platforms": {"current_platform": SimpleNamespace(is_cpu=lambda: True)},
        "vllm.sampling_params": {"StructuredOutputsParams": SimpleNamespace},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(vllm, "ENVIRONMENT", {})
    monkeypatch.setattr(vllm, "skeleton", lambda reference: None)
    monkeypatch.setattr(vllm, "load_tokenizer", lambda *_: PlayedTokenizer())
    return fails


def worker(**settings: int) -> VllmWorker:
    machine = VllmMachine(tensor_parallel=1, memory_fraction=0.9, chunk_size=8, **settings)
    return VllmWorker(ModelReference(Path("models/base")), VllmModel(engine="vllm", dtype="bfloat16"), machine)


def ask(model: VllmWorker) -> None:
    model.complete([user("Why is that so?")], None, Sampling(8))


def score(model: VllmWorker) -> None:
    model.score([(user("Why is that so?"), "So.")], None)


@pytest.mark.parametrize("use", [ask, score])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(OUT_OF_MEMORY),
        RuntimeError(
            f"Worker failed with error '{OUT_OF_MEMORY}', please check the stack trace above for the root cause"
        ),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_memory_that_runs_out_while_the_model_answers_is_one_sentence(
    error: Exception, use: Any, played: dict[str, Exception]
) -> None:
    played["error"] = error
    model = worker()
    with pytest.raises(UserError) as raised:
        use(model)
    assert raised.value.message == (
        "models/base: not enough memory to answer; lower vllm.memory_fraction in machines/ (what it needs while it answers lies "
        "outside that share of a GPU), and see that nothing else computes there"
    )


def test_a_process_that_fails_while_weights_are_shared_out_is_one_sentence(played: dict[str, Exception]) -> None:
    """vLLM's ``WorkerProc.wait_for_ready`` (v1/executor/multiproc_executor.py) raises a plain Exception."""
    played["error"] = Exception("WorkerProc initialization failed due to an exception in a background process.")
    with pytest.raises(UserError, match=r"^models/base: vLLM cannot load it \(WorkerProc initialization failed due"):
        worker()


def test_a_package_that_vllm_itself_misses_is_one_sentence(played: dict[str, Exception]) -> None:
    played["error"] = ImportError("Please install bitsandbytes")
    with pytest.raises(UserError, match=r"^models/base: vLLM cannot load it \(Please install bitsandbytes"):
        worker()


def test_conversations_at_once_are_vllms_own_choice_unless_the_machine_says(played: dict[str, Exception]) -> None:
    played["error"] = RuntimeError("asked")
    assert "max_num_seqs" not in worker()._llm.given
    assert worker(max_num_seqs=256)._llm.given["max_num_seqs"] == 256


def test_raw_prompts_pass_by_the_template_and_conversations_get_its_variables(played: dict[str, Exception]) -> None:
    played["error"] = RuntimeError("asked")
    model = worker()
    told = Sampling(8, chat_template_kwargs='{"risk": "harm"}')
    with pytest.raises(RuntimeError, match="asked"):
        model.complete(["a raw prompt", user("a question")], None, told)
    assert model._llm.asked == [{"prompt_token_ids": [1, 3, 6]}, {"prompt_token_ids": [1, 8, 4]}]


def test_another_fault_of_vllm_s_keeps_its_own_words(played: dict[str, Exception]) -> None:
    played["error"] = RuntimeError("a kernel is broken")
    with pytest.raises(RuntimeError, match="a kernel is broken"):
        ask(worker())
