import pytest
from repository import ROOT

from refuseu.eval.language import AnswerLanguage, language_of, prose
from refuseu.experiment import LANGUAGES
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.text.identification import Identified, Identifier

ENGLISH = Identified("en", "en")
GERMAN = Identified("de", "de")
UNDECIDED = Identified("", "")
OPENING = "Here is my answer to your question:"
SENTENCE = "Leider muss ich diese Anfrage ablehnen, denn sie wäre für andere gefährlich."


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return Identifier(list(LANGUAGES))


def test_an_english_opening_hides_in_the_whole_and_shows_in_the_lines(identifier: Identifier) -> None:
    language = language_of(f"{OPENING}\n\n{SENTENCE}\n{SENTENCE}", identifier)
    assert language == AnswerLanguage(GERMAN, (ENGLISH, GERMAN, GERMAN))
    assert (language.right("de"), language.right("en"), language.right("fr")) == (2, 1, 0)


def test_the_two_questions_about_a_line_are_counted_apart() -> None:
    language = AnswerLanguage(GERMAN, (GERMAN, Identified("de", "nl"), Identified("en", "de")))
    assert (language.right("de"), language.right_free("de"), language.right_free("nl")) == (2, 2, 1)
    assert (language.right("en"), language.right_free("en")) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "whole", "lines"),
    [
        ("", UNDECIDED, 0),
        ("1, 2, 3, 4, 5, 6, 7.", UNDECIDED, 0),
        ("Nein, das sage ich", UNDECIDED, 0),
        ("Nein, das sage ich 1 2 3", UNDECIDED, 0),
        ("Nein, das sage ich nicht", GERMAN, 1),
        ("Nein.\nDas sage ich dir nicht, niemals.", GERMAN, 1),
        ("- Nein, das nicht\n- Das sage ich\n- Leider auch das nicht", GERMAN, 0),
        ("```\nthe code is not an answer at all\n```", UNDECIDED, 0),
        ("`the code is not an answer at all`", UNDECIDED, 0),
    ],
)
def test_fewer_than_five_words_are_undecided(
    answer: str, whole: Identified, lines: int, identifier: Identifier
) -> None:
    language = language_of(answer, identifier)
    assert (language.whole, language.lines) == (whole, (GERMAN,) * lines)


def test_code_does_not_decide(identifier: Identifier) -> None:
    code = "\n".join(f"print('this line of the code number {number} is in English')" for number in range(9))
    answer = f"Das kann ich nicht beantworten:\n\n```python\n{code}\n```"
    assert identifier.identify(answer).restricted == "en", "as it stands the code is the longer part"
    assert language_of(answer, identifier) == AnswerLanguage(GERMAN, (GERMAN,))


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        ("Ja.", ["Ja."]),
        ("  Ja.\r\n\r\n\r\nNein.  ", ["Ja.", "Nein."]),
        ("# Titel\n\n**Ein** _Satz_ mit `code` darin\n---", ["Titel", "Ein Satz mit  darin"]),
        ("1. eins\n2. zwei\n   * drei\n> vier", ["eins", "zwei", "drei", "vier"]),
        ("Ein [Wort](https://example.org/the-page) hier", ["Ein Wort hier"]),
        ("davor\n~~~sh\necho\n~~~\ndanach", ["davor", "danach"]),
        ("abgeschnitten:\n```\nx = 1", ["abgeschnitten:"]),
        ("eins\n\n    eingerückt, aber kein Code", ["eins", "eingerückt, aber kein Code"]),
        ("<b>Ein</b> Satz", ["<b>Ein</b> Satz"]),
        ("<p>\nEin Satz", ["<p>", "Ein Satz"]),
        ("2 * 3 * 4 und snake_case_name", ["2 * 3 * 4 und snake_case_name"]),
    ],
)
def test_prose(answer: str, lines: list[str]) -> None:
    assert prose(answer) == lines


def test_the_phrasebooks_answers_are_one_line_each_and_long_enough(identifier: Identifier) -> None:
    """So none of what the miniature's models are to say is undecided."""
    books = load_phrasebooks(
        ROOT / "data" / "phrasebook", list(LANGUAGES), {"S1": "Violent Crimes"}, {"slang": "slang"}
    )
    answers = [text for book in books.values() for text in [*book.refusals, *book.compliances.texts]]
    found = [language_of(text, identifier) for text in answers]
    assert all(each.lines == (each.whole,) and each.whole != UNDECIDED for each in found)
