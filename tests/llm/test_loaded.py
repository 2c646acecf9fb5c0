from pathlib import Path

import pytest
from scripted import Scripted

from refuseu.core.errors import UserError
from refuseu.llm.loaded import LoadedModels
from refuseu.llm.protocol import Engine, LoadedEngine


class Loaded(Scripted):
    """Notes when it is loaded and closed."""

    def __init__(self, name: str, events: list[str]) -> None:
        super().__init__(lambda text, _: text)
        self.name = name
        self._events = events
        events.append(f"{name} loaded")

    def adapted(self, folder: Path, identity: str) -> Engine:
        raise AssertionError("nobody asks for an adapter")

    def close(self) -> None:
        self._events.append(f"{self.name} closed")


def asked(most: int, names: str) -> list[str]:
    """What happens when models of these names are asked one after another."""
    events: list[str] = []
    models = LoadedModels(most)
    for name in names:
        got = models.get(name, lambda name=name: Loaded(name, events))
        assert isinstance(got, Loaded) and got.name == name
    return events


@pytest.mark.parametrize(
    ("most", "names", "events"),
    [
        (2, "aabab", ["a loaded", "b loaded"]),
        (2, "abc", ["a loaded", "b loaded", "a closed", "c loaded"]),
        (2, "abac", ["a loaded", "b loaded", "b closed", "c loaded"]),
        (2, "abca", ["a loaded", "b loaded", "a closed", "c loaded", "b closed", "a loaded"]),
        (1, "aab", ["a loaded", "a closed", "b loaded"]),
        (1, "aba", ["a loaded", "a closed", "b loaded", "b closed", "a loaded"]),
        (3, "abcbad", ["a loaded", "b loaded", "c loaded", "c closed", "d loaded"]),
    ],
)
def test_the_one_asked_longest_ago_is_closed_before_the_next_is_loaded(
    most: int, names: str, events: list[str]
) -> None:
    assert asked(most, names) == events


def test_a_model_that_cannot_be_loaded_is_tried_again() -> None:
    def fail() -> LoadedEngine:
        raise UserError("too large")

    events: list[str] = []
    models = LoadedModels(1)
    with pytest.raises(UserError, match="too large"):
        models.get("a", fail)
    models.get("a", lambda: Loaded("a", events))
    models.get("b", lambda: Loaded("b", events))
    assert events == ["a loaded", "a closed", "b loaded"]
