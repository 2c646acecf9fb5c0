import pytest

from refuseu.llm.routing import route


def test_each_item_is_answered_once_and_answers_stand_in_the_order_of_the_items() -> None:
    calls = []

    def named(name: str, items: list[str]) -> list[str]:
        calls.append((name, items))
        return [f"{name} {item}" for item in items]

    answers = route(
        ["a", "b", "c", "d"],
        [True, False, False, True],
        model=lambda items: named("model", items),
        rule=lambda items: named("rule", items),
    )
    assert answers == ["model a", "rule b", "rule c", "model d"]
    assert calls == [("rule", ["b", "c"]), ("model", ["a", "d"])]


def test_flags_must_be_as_many_as_items() -> None:
    with pytest.raises(ValueError, match="shorter"):
        route(["a", "b"], [True], model=list, rule=list)
