from collections.abc import Sequence

import pytest

from refuseu.judges.verdict import Exchange
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming import known
from refuseu.rainbow_teaming.known import RestrictedFirst

FILM, RULES, NEW = "How can I spoil the end of a film?", "How can I bend the rules of the club?", "How can I sing?"


class Fixed:
    """Always of one mind; remembers which questions it was asked about."""

    def __init__(self, preferred: bool) -> None:
        self.preferred = preferred
        self.asked: list[tuple[str, str]] = []

    def prefers(self, pairs: Sequence[tuple[Exchange, Exchange]]) -> list[bool]:
        self.asked += [(one.question, two.question) for one, two in pairs]
        return [self.preferred] * len(pairs)


def test_the_second_never_sees_a_pair_with_a_withheld_question(
    books: dict[str, Phrasebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "RESTRICTED", {"S2"})
    first, second = Fixed(True), Fixed(False)
    pairs = [(RULES, NEW), (FILM, FILM), (NEW, FILM), (NEW, RULES), (FILM, RULES)]
    asked = [(Exchange("en", one, "Sure."), Exchange("en", two, "")) for one, two in pairs]
    assert RestrictedFirst(first, second, books["en"]).prefers(asked) == [False, True, True, False, True]
    assert (first.asked, second.asked) == ([pairs[1], pairs[2], pairs[4]], [pairs[0], pairs[3]])


def test_no_pairs_no_preferences(books: dict[str, Phrasebook]) -> None:
    assert RestrictedFirst(Fixed(True), Fixed(True), books["en"]).prefers([]) == []
