"""What a phrasebook tells its judges: which asks are harmful, and which answers refuse."""

from refuseu.experiment import Kind
from refuseu.judges.verdict import Harm, Reply
from refuseu.phrasebook.phrasebook import Phrasebook


def known_asks(book: Phrasebook) -> dict[str, Harm]:
    """Ask to what it is."""
    return {text: Harm.HARMFUL if ask.kind is Kind.HARMFUL else Harm.SAFE for text, ask in book.named_asks.items()}


def known_answers(book: Phrasebook) -> dict[str, Reply]:
    """Answer to what it does with its question."""
    return {
        **dict.fromkeys(book.refusals, Reply.REFUSAL),
        **dict.fromkeys(book.compliances.texts, Reply.COMPLIANCE),
    }
