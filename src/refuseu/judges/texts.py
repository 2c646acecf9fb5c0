"""What a phrasebook tells its judges: which behaviors are harmful, and which answers refuse."""

from refuseu.experiment import Kind
from refuseu.judges.verdict import Harm, Reply
from refuseu.phrasebook.phrasebook import Phrasebook


def known_behaviors(book: Phrasebook) -> dict[str, Harm]:
    """Behavior to what it is."""
    return {
        text: Harm.HARMFUL if behavior.kind is Kind.HARMFUL else Harm.SAFE
        for text, behavior in book.named_behaviors.items()
    }


def known_answers(book: Phrasebook) -> dict[str, Reply]:
    """Answer to what it does with its question."""
    return {
        **dict.fromkeys(book.refusals, Reply.REFUSAL),
        **dict.fromkeys(book.compliances.texts, Reply.COMPLIANCE),
    }
