"""What a reasoning model wrote, as its reasoning and the answer that follows.

Most models put their reasoning between two tags at the start. gpt-oss writes in channels (OpenAI's harmony format): it reasons in
the channel ``analysis``, calls tools in ``commentary`` and answers in ``final``. The tags are those of vLLM's parsers
(``vllm/reasoning``).
"""

import re

TAGS = {
    "<think>": "</think>",  # DeepSeek-R1, Qwen3, GLM, Granite and most others
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "<mm:think>": "</mm:think>",  # MiniMax-M3
    "[THINK]": "[/THINK]",  # Magistral
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A Reasoning
    "<|channel>": "<channel|>",  # Gemma 4
}
"""The closing tag of each opening one."""
CHANNEL, MESSAGE = "<|channel|>", "<|message|>"
MARKS = (*TAGS, *TAGS.values(), CHANNEL, MESSAGE)
"""All that tells reasoning from answer. Where they are special tokens, they must not be lost when tokens become text; the other
special tokens of channels must, since other models end their answers with ``<|end|>``."""
OPENINGS = (*TAGS, f"{CHANNEL}analysis{MESSAGE}")
"""What a prompt may end with so that the model begins inside its reasoning."""

_TURN = r"(?:<\|end\|>)?(?:<\|start\|>)?assistant[^<]*"
_MESSAGE = re.compile(
    rf"<\|channel\|>\s*(\w+).*?<\|message\|>(.*?)(?={_TURN}<\|channel\|>|(?:<\|end\|>)?\Z)", re.DOTALL
)
_STRIPPED = re.compile(r"analysis(?=[A-Z])(?P<reasoning>.*?)(?:assistantfinal(?P<answer>.*))?", re.DOTALL)
"""Channels of which the special tokens were lost, as with a server that does not know the format."""
_QUOTES = tuple("`'\"“„«‘")


def split(raw: str) -> tuple[str, str]:
    """The reasoning and the answer in what a model wrote; without reasoning, the answer is ``raw`` as it is.

    The answer is empty where the reasoning was not ended. Where the opening tag stood in the prompt, as with DeepSeek-R1, all
    before the closing one is reasoning. A tag that an answer mentions, after other words or in quotation marks, divides nothing.
    """
    text = raw.strip()
    if text.startswith((CHANNEL, f"<|start|>assistant{CHANNEL}")):
        return _by_channels(text)
    if stripped := _STRIPPED.fullmatch(text):
        return stripped["reasoning"].strip(), (stripped["answer"] or "").strip()
    for opening, closing in TAGS.items():
        before, closed, after = text.partition(closing)
        if before.startswith(opening) or (closed and opening not in before and not before.endswith(_QUOTES)):
            return before.removeprefix(opening).strip(), after.strip()
    return "", raw


def _by_channels(text: str) -> tuple[str, str]:
    messages = _MESSAGE.findall(text)
    reasoning, answer = (
        "\n".join(content.strip() for channel, content in messages if (channel == "final") is final)
        for final in (False, True)
    )
    return reasoning, answer
