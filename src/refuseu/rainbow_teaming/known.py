"""Two preferences as one."""

from collections.abc import Sequence
from dataclasses import dataclass

from refuseu.experiment import RESTRICTED
from refuseu.judges.verdict import Exchange
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming.interfaces import Preference


@dataclass(frozen=True)
class RestrictedFirst:
    """The first decides on questions of restricted categories, which are the phrasebook's; the second never sees them."""

    first: Preference
    second: Preference
    book: Phrasebook
    """Of the language that the search asks in."""

    def prefers(self, pairs: Sequence[tuple[Exchange, Exchange]]) -> list[bool | None]:
        hidden = [any(self._restricted(each) for each in pair) for pair in pairs]
        kept_away = [pair for pair, hide in zip(pairs, hidden, strict=True) if hide]
        shown = [pair for pair, hide in zip(pairs, hidden, strict=True) if not hide]
        by_first, by_second = iter(self.first.prefers(kept_away)), iter(self.second.prefers(shown))
        return [next(by_first if hide else by_second) for hide in hidden]

    def _restricted(self, exchange: Exchange) -> bool:
        reading = self.book.parse(exchange.question)
        return reading is not None and reading.behavior.category in RESTRICTED
