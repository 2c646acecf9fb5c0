import pytest
from scripted import Scripted

from refuseu.core.errors import UserError
from refuseu.judges.model_judge import answers, fields, harm_share, readable, texts, turns
from refuseu.judges.verdict import Exchange
from refuseu.llm.protocol import Completion, Finish, Sampling

SAMPLING = Sampling(8)


def test_one_completion_an_exchange_in_order_and_equal_ones_asked_once() -> None:
    engine = Scripted(lambda text, _: text.upper())
    exchanges = [Exchange("en", text) for text in ("one", "two", "one", "three")]
    assert texts(engine, exchanges, turns, SAMPLING) == ["ONE", "TWO", "ONE", "THREE"]
    assert [conversation[0]["content"] for conversation, _ in engine.asked] == ["one", "two", "three"]


@pytest.mark.parametrize("blank", ["", " \n\t"])
def test_a_blank_answer_is_not_asked_about_and_not_a_missing_answer(blank: str) -> None:
    engine = Scripted(lambda text, _: Completion("safe", probabilities=(1.0,)))
    exchanges = [Exchange("en", "why?", blank), Exchange("en", "why?")]
    assert answers(engine, exchanges, turns, SAMPLING) == [Completion(""), Completion("safe", probabilities=(1.0,))]
    assert len(engine.asked) == 1


def test_what_the_engine_could_not_ask_is_its_error() -> None:
    def broken(text: str, sampling: Sampling) -> str:
        raise UserError("conversation 1 could not be asked")

    with pytest.raises(UserError, match="conversation 1"):
        answers(Scripted(broken), [Exchange("en", "why?")], turns, SAMPLING)


def test_roles_take_turns_without_a_system_message() -> None:
    assert turns(Exchange("en", "why?")) == [{"role": "user", "content": "why?"}]
    assert turns(Exchange("en", "why?", "so")) == [
        {"role": "user", "content": "why?"},
        {"role": "assistant", "content": "so"},
    ]


@pytest.mark.parametrize(
    ("finish", "text", "expected"),
    [
        (Finish.STOP, "unsafe\nS1", "unsafe\nS1"),
        (Finish.LENGTH, "unsafe\nS1", "unsafe"),
        (Finish.LENGTH, "unsafe", ""),
        (Finish.LENGTH, "unsafe\n", ""),
        (Finish.LENGTH, "", ""),
        (Finish.TOO_LONG, "", ""),
        (Finish.DECLINED, "safe", ""),
        (Finish.FAILED, "safe", ""),
    ],
)
def test_only_whole_lines_are_read(finish: Finish, text: str, expected: str) -> None:
    assert readable(Completion(text, finish)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A: 1\nB: 2", {"A": "1", "B": "2"}),
        ("\n\nA: 1 \r\nB:2\n", {"A": "1", "B": "2"}),
        ("A: 1", {"A": "1"}),
        ("A: one: two", {"A": "one: two"}),
        ("A:", {"A": ""}),
        ("A", {"A": ""}),
        ("", {}),
        ("B: 2", {}),
        ("B: 2\nA: 1", {}),
        ("A: 1\nA: 2", {}),
        ("A: 1\nB: 2\nC: 3", {}),
        ("A: 1\n\nB: 2", {}),
        ("a: 1", {}),
        ("Well.\nA: 1", {}),
        ("AA: 1", {}),
    ],
)
def test_fields(text: str, expected: dict[str, str]) -> None:
    assert fields(text, ("A", "B")) == expected


@pytest.mark.parametrize(
    ("probabilities", "harmful", "expected"),
    [
        ((0.6, 0.2), 1, 0.75),
        ((0.2, 0.3, 0.5), 2, 0.5),
        ((0.0, 1.0), 1, 0.0),
        ((1.0, 0.0), 1, 1.0),
        ((0.25, 0.25), 1, 0.5),
        ((1 / 3, 2 / 3), 1, 0.333333),
        # A tail against a tail: of a model that was about to say something else.
        ((0.49, 0.0), 1, 0.0),
        ((1e-9, 1e-12), 1, 0.0),
        ((0.0, 0.0), 1, 0.0),
        ((), 1, 0.0),
    ],
)
def test_harm_share(probabilities: tuple[float, ...], harmful: int, expected: float) -> None:
    assert harm_share(Completion("", probabilities=probabilities), harmful) == expected
