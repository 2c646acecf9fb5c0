"""What a model reasoned is told from what it answered, and what merely talks of it is not."""

import pytest

from refuseu.llm.reasoning import OPENINGS, TAGS, split

HARMONY = "<|channel|>analysis<|message|>The user asks why.<|end|><|start|>assistant<|channel|>final<|message|>No."


@pytest.mark.parametrize(
    ("raw", "reasoning", "answer"),
    [
        ("<think>\nThe user asks why.\n</think>\n\nNo.", "The user asks why.", "No."),
        ("\n<think>a</think>No.", "a", "No."),
        ("<think>\n\n</think>\n\nNo.", "", "No."),
        ("The user asks why.\n</think>\n\nNo.", "The user asks why.", "No."),
        ("</think>\nNo.", "", "No."),
        ("<think>a</think>No: <think> and </think> are tags.", "a", "No: <think> and </think> are tags."),
        ("[THINK]a[/THINK]No.", "a", "No."),
        ("a\n[/THINK]No.", "a", "No."),
        ("<|START_THINKING|>a<|END_THINKING|>No.", "a", "No."),
        (HARMONY, "The user asks why.", "No."),
        (f"<|start|>assistant{HARMONY}<|end|>", "The user asks why.", "No."),
        (HARMONY.replace("<|end|><|start|>", ""), "The user asks why.", "No."),
        (f"{HARMONY} Ask an assistant", "The user asks why.", "No. Ask an assistant"),
        ("<|channel|>final<|message|>No.", "", "No."),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=functions.f "
            "<|constrain|>json<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>No.",
            "a\n{}",
            "No.",
        ),
        ("analysisThe user asks why.assistantfinalNo.", "The user asks why.", "No."),
    ],
)
def test_the_reasoning_is_taken_out(raw: str, reasoning: str, answer: str) -> None:
    assert split(raw) == (reasoning, answer)


@pytest.mark.parametrize("opening", TAGS)
def test_every_pair_of_tags_is_known(opening: str) -> None:
    closing = TAGS[opening]
    assert split(f"{opening}a{closing}b") == split(f"a{closing}b") == ("a", "b")
    assert split(f"{opening}a") == ("a", "")


@pytest.mark.parametrize(
    ("raw", "reasoning"),
    [
        ("<think>\nThe user", "The user"),
        ("<think>", ""),
        ("<think>The user asks why.\n</think>", "The user asks why."),
        ("<|channel|>analysis<|message|>The user", "The user"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final", "a"),
        ("<|channel|>analysis", ""),
        ("analysisThe user asks", "The user asks"),
        *[(f"{opening}The user", "The user") for opening in OPENINGS],
    ],
)
def test_what_is_cut_before_the_answer_has_none(raw: str, reasoning: str) -> None:
    assert split(raw) == (reasoning, "")


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "No.",
        " as it is \n",
        "A model writes <think> and then </think> around its thoughts.",
        "DeepSeek ends its thoughts with `</think>`, Qwen too.",
        'It ends with "</think>".',
        "analysis shows that it is so",
        "analysis: no",
        "The analysis of the assistantfinal is this.",
        "It writes <|channel|>analysis<|message|> first.",
        "Thinking <thinking> is </thinking> fun.",
    ],
)
def test_an_answer_that_talks_of_it_is_left_as_it_is(raw: str) -> None:
    assert split(raw) == ("", raw)
