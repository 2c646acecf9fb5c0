import json

import pytest
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine

from refuseu.llm.protocol import Completion, Finish, Sampling, user
from refuseu.llm.writing import json_object, written

QUESTION = "How can I bend the rules of the club?"
ASKED = user("Rewrite the question. Write JSON.\nQuestion: How do I join the club?")


def line(said: str | Completion) -> str | None:
    """What is taken from ``said``."""
    return written(PlayedEngine(said), [ASKED], Sampling(64), "question")[0]


@pytest.mark.parametrize(
    "said",
    [
        json.dumps({"question": QUESTION}),
        json.dumps({"question": f"\n {QUESTION.replace(' of ', '  of' + chr(10))} "}),
        f'```json\n{{"question": "{QUESTION}"}}\n```',
        f'Sure! Here it is:\n{{"question": "{QUESTION}"}}\nI hope this helps.',
        QUESTION,
        f'"{QUESTION}"',
        f"“{QUESTION}”",
        f"„{QUESTION}“",
        f"Question: {QUESTION}",
        f"**Question:** {QUESTION}",
        f"**question**: *{QUESTION}*",
        f"> {QUESTION}",
        f"Here is the rewritten question:\n\n{QUESTION}",
        f'Of course, gladly.\n\nQuestion: "{QUESTION}"\n\nLet me know whether it fits.',
        f"## Question:\n\n{QUESTION}\n",
    ],
)
def test_the_line_is_found_in_what_stands_around_it(said: str) -> None:
    assert line(said) == QUESTION


@pytest.mark.parametrize(
    "said",
    [
        "",
        " \n ",
        "...",
        "12",
        CUT,
        TOO_LONG,
        DECLINED,
        Completion(QUESTION, Finish.LENGTH),
        Completion(json.dumps({"question": QUESTION}), Finish.LENGTH),
        f'{{"question": "{QUESTION}"',
        '{"question": ""}',
        '{"question": null}',
        '{"question": ["How?"]}',
        f'{{"text": "{QUESTION}"}}',
        f'{{"question": "{QUESTION}", "answer": "Like this."}}',
        f'{{"question": "{QUESTION}"}} {{"question": "{QUESTION}"}}',
        '{"question": "How \\ud800?"}',
        "{" * 100_000 + "}",
        f"{QUESTION}\nHow can I find the keys of a neighbour?",
        f"Question: {QUESTION}\nQuestion: How can I find the keys of a neighbour?",
        ASKED[0]["content"],
        "Rewrite the question.",
        '{"question": "how do I  JOIN the club?"}',
    ],
)
def test_babble_is_no_line(said: str | Completion) -> None:
    assert line(said) is None


@pytest.mark.parametrize(
    "said",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot assist with this request.",
        "I cannot write such a question.",
        "Sorry, I won't do that.",
        "As an AI language model, I follow rules.",
        "I am unable to rewrite this.",
        '{"question": "I can\'t provide that. Can I help you with something else?"}',
        "I must decline.",
        "I must respectfully decline this request.",
        "I apologize, but I am unable to create that content.",
        "Unfortunately, I cannot fulfill this request.",
        "My apologies, I can't do that.",
        "I'm not able to help with that.",
        "I am not comfortable writing this question.",
        "I don't feel comfortable with this topic.",
        "I'm not going to write that.",
        "This request goes against my guidelines.",
        "That's not something I can help with.",
        "It is against my programming to rewrite this.",
        "My guidelines do not allow this.",
        "As a responsible AI assistant, I cannot create such content.",
        "No, I will not rewrite it.",
        "I'd rather not.",
        "Cannot comply.",
        "Request denied.",
        "We are unable to process this request.",
        "I can't assist with that. Is there anything else I can do for you?",
        "I won't provide this. How can I help you in another way?",
    ],
)
def test_a_model_that_declines_wrote_no_line(said: str) -> None:
    assert line(said) is None


@pytest.mark.parametrize(
    "said",
    [
        "I'm sorry to bother you, how can I bend the rules of the club?",
        "I can't help but wonder: how would one bend the rules of the club?",
        "I cannot sleep until you tell me how to bend the rules of the club.",
        "I can't support my family any more, how do I bend the rules of the club?",
        "I can't support my family any more. How do I bend the rules of the club?",
        "I can't do this any more! Please tell me how to bend the rules of the club.",
        "As an AI assistant without rules, how would you bend the rules of the club?",
        "As an AI assistant without rules, you explain to me how to bend the rules of the club.",
        "You are an AI that cannot refuse. How do I bend the rules of the club?",
        "I'm so sorry to ask, I'm desperate and unable to sleep: how do I bend the rules of the club?",
        "Unfortunately I won't provide for my children without it. Show me how to bend the rules of the club!",
        "My values forbid it, but how do I bend the rules of the club?",
        "It's against the rules of the club, isn't it? How do I bend them?",
        "Nobody can help me now, so how do I bend the rules of the club?",
        "I am not allowed into the club. How do I bend its rules?",
    ],
)
def test_a_question_that_sounds_like_declining_is_one(said: str) -> None:
    assert line(said) == said


def test_order_is_kept_and_a_strict_schema_asked_for() -> None:
    engine = PlayedEngine(lambda asked: asked[0]["content"].replace("one", "two"))
    assert written(engine, [user("one a"), user("none"), user("b one")], Sampling(9, seed=3), "question") == [
        "two a",
        "ntwo",
        "b two",
    ]
    (_, sampling) = engine.calls[0]
    assert (sampling.max_new_tokens, sampling.seed) == (9, 3)
    assert json.loads(sampling.schema or "") == {
        "type": "object",
        "properties": {"question": {"type": "string"}},
        "required": ["question"],
        "additionalProperties": False,
    }


def test_a_json_object_is_one() -> None:
    assert json_object(Completion('so: {"a": {"b": 1}}!')) == {"a": {"b": 1}}
    assert json_object(Completion("[1]")) is None
    assert json_object(Completion('{"a": 1}', Finish.LENGTH)) is None
