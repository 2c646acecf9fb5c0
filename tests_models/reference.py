"""What plain transformers and peft make of a model: the measure of the engines."""

import math
from pathlib import Path
from typing import Any

from refuseu.engines.vllm import VllmMachine, VllmModel
from refuseu.llm.protocol import Conversation, Prompt

LENGTH = 192
"""Tokens that vLLM lets a conversation and its answer have."""

SCHEMA = {
    "type": "object",
    "properties": {
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "why": {"type": "string", "maxLength": 20},
    },
    "required": ["score", "why"],
    "additionalProperties": False,
}
"""What an answer that follows a schema is asked for here."""


IN_VLLM = VllmModel(engine="vllm", dtype="float32", max_model_len=LENGTH)
ON_CPU = VllmMachine(tensor_parallel=1, memory_fraction=0.9, chunk_size=5, eager=True)


class Reference:
    """The model in transformers: one conversation at a time, greedily, in float32."""

    def __init__(self, folder: Path, adapter: Path | None = None) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if adapter:
            self._model = PeftModel.from_pretrained(self._model, adapter)
        self._model.requires_grad_(False)

    def answer(self, conversation: Prompt, new_tokens: int, prefix: str = "") -> str:
        prompt = self._prompt(conversation, prefix)
        output = self._model.generate(prompt, do_sample=False, max_new_tokens=new_tokens)
        text: str = self._tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True)
        return text.strip()

    def first(self, conversation: Prompt, word: str) -> float:
        """Probability that the answer begins with the first token of ``word``."""
        first = self._tokenizer(word, add_special_tokens=False)["input_ids"][0]
        return float(self._model(self._prompt(conversation)).logits[0, -1].softmax(-1)[first])

    def log_likelihood(self, conversation: Prompt, answer: str) -> float:
        prompt = self._prompt(conversation)
        row = self._prompt(conversation, answer)
        scores = self._model(row).logits[0, :-1].log_softmax(-1)
        return math.fsum(float(scores[place - 1, row[0, place]]) for place in range(prompt.shape[1], row.shape[1]))

    def written(self, conversation: Conversation) -> str:
        """The conversation in the model's chat template."""
        text: str = self._tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
        return text

    def _prompt(self, conversation: Prompt, added: str = "") -> Any:
        import torch

        text = conversation if isinstance(conversation, str) else self.written(conversation)
        ids = [self._tokenizer(part, add_special_tokens=False)["input_ids"] for part in (text, added)]
        return torch.tensor([ids[0] + ids[1]], dtype=torch.long)
