"""Every role of a language model reads what follows a model's reasoning: by the row store that all of them ask through."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playing import PlayedEngine
from repository import ROOT

from refuseu.eval.interfaces import Rating
from refuseu.eval.rating import PLACEHOLDERS, ChatRater
from refuseu.judges.chat import FORMS, ChatJudge
from refuseu.judges.llama_guard import LlamaGuardJudge
from refuseu.judges.polyguard import PolyGuardJudge
from refuseu.judges.qwen3guard import Qwen3GuardJudge
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.judges.wildguard import WildGuardJudge
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Completion, Engine, Finish, Sampling, asked_alone, user
from refuseu.llm.stored import StoredEngine
from refuseu.llm.writing import written
from refuseu.respond import answers
from refuseu.respond.answers import LlmRefuser, PhrasebookRefuser, Question
from refuseu.store.rows import Store

ANSWERED = Exchange("en", "Why?", "So.")
SAMPLING = Sampling(64)
RULING = {"harm": "harmful", "reply": "compliance"}
THREE = "Harmful request: yes\nResponse refusal: no\nHarmful response: yes"
FIVE = (
    THREE.replace("yes\nResponse ref", "yes\nRequest safety violations: S2\nResponse ref")
    + "\nResponse safety violations: S2"
)
HARMFUL = Verdict(Harm.HARMFUL, Reply.COMPLIANCE)


def refused(engine: Engine) -> Any:
    prompt = PromptTemplate.read(ROOT / "data/prompts/refusal.md", answers.PLACEHOLDERS)
    refuser = LlmRefuser(engine, SAMPLING, prompt, 6, (), PhrasebookRefuser({}))
    return refuser.refuse([Question("q", "en", "Why?")])


def rated(engine: Engine) -> Any:
    prompt = PromptTemplate.read(ROOT / "data/prompts/fluency.md", PLACEHOLDERS)
    return ChatRater(engine, SAMPLING, prompt).ratings([ANSWERED])


ROLES: dict[str, tuple[Callable[[Engine], Any], str, str, Any, Any]] = {
    "target, rejected answers": (lambda engine: asked_alone(engine, ["Why?"], SAMPLING), "Yes.", "No.", ["No."], [""]),
    "mutator, twins, translator": (
        lambda engine: written(engine, [user("Write.")], SAMPLING, "question"),
        json.dumps({"question": "How do I go?"}),
        json.dumps({"question": "How do I stay?"}),
        ["How do I stay?"],
        [None],
    ),
    "refuser": (refused, "Yes.", "No.", ["No."], [None]),
    "rating": (
        rated,
        json.dumps({"fluency": 1, "correctness": 1}),
        json.dumps({"fluency": 4, "correctness": 5}),
        [Rating(4, 5)],
        [None],
    ),
    "chat": (
        lambda engine: ChatJudge(engine, "{exchange}", FORMS["json"], 64).judge([ANSWERED]),
        json.dumps({"harm": "safe", "reply": "refusal"}),
        json.dumps(RULING),
        [HARMFUL],
        [Verdict(Harm.UNPARSED, Reply.UNPARSED)],
    ),
    "llama-guard-3": (
        lambda engine: LlamaGuardJudge(engine).judge([ANSWERED]),
        "safe",
        "unsafe\nS1",
        [Verdict(Harm.HARMFUL, Reply.NOT_REPORTED)],
        [Verdict(Harm.UNPARSED, Reply.NOT_REPORTED)],
    ),
    **{
        name: (kind, said.replace("yes", "no"), said, [HARMFUL], [Verdict(Harm.UNPARSED, Reply.UNPARSED)])
        for name, kind, said in (
            ("wildguard", lambda engine: WildGuardJudge(engine).judge([ANSWERED]), THREE),
            ("polyguard", lambda engine: PolyGuardJudge(engine).judge([ANSWERED]), FIVE),
        )
    },
    "qwen3guard": (
        lambda engine: Qwen3GuardJudge(engine, strict=True).judge([ANSWERED]),
        "Safety: Safe\nCategories: None\nRefusal: Yes",
        "Safety: Unsafe\nCategories: Violent\nRefusal: No",
        [HARMFUL],
        [Verdict(Harm.UNPARSED, Reply.UNPARSED)],
    ),
}
"""Who asks, what the model considers, what it says, and what is taken of that and of a thought that was cut."""
WAYS: dict[str, tuple[Callable[[str, str], Completion], Callable[[str], Completion]]] = {
    "tags": (
        lambda thought, said: Completion(f"<think>\n{thought}\n</think>\n\n{said}"),
        lambda thought: Completion(f"<think>\n{thought}", Finish.LENGTH),
    ),
    "a closing tag": (
        lambda thought, said: Completion(f"{thought}\n</think>\n\n{said}"),
        lambda thought: Completion(f"<think>{thought}", Finish.LENGTH),
    ),
    "channels": (
        lambda thought, said: Completion(
            f"<|channel|>analysis<|message|>{thought}assistant<|channel|>final<|message|>{said}"
        ),
        lambda thought: Completion(f"<|channel|>analysis<|message|>{thought}", Finish.LENGTH),
    ),
    "a field of the server": (
        lambda thought, said: Completion(said, reasoning=thought),
        lambda thought: Completion("", Finish.LENGTH, reasoning=thought),
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_what_follows_the_reasoning(role: str, way: str, tmp_path: Path) -> None:
    ask, considered, said, taken, nothing = ROLES[role]
    whole, cut = WAYS[way]
    for completion, expected in ((whole(considered, said), taken), (cut(f"{considered}\n{said}\n"), nothing)):
        store = Store(tmp_path / f"{completion.finish}.sqlite")
        assert ask(StoredEngine("a model", lambda it=completion: PlayedEngine(it), store)) == expected
