from pathlib import Path

from profile_texts import published
from published_set import published_row, write_set

from refuseu.translate.published import PublishedTranslator


def test_a_question_is_given_in_the_sets_own_words_and_back(tmp_path: Path) -> None:
    train = [
        published_row("q1", "en", "How do I open the old gate?"),
        published_row("q1", "de", "Wie öffne ich das alte Tor?"),
        published_row("q2", "en", "How may I open the old gate?"),
        published_row("q2", "de", "Wie öffne ich das alte Tor?"),
    ]
    write_set(tmp_path / "mine", train, [published_row("q3", "en")])
    translator = PublishedTranslator(published(tmp_path))
    asked = ["How may I open the old gate?", "How do I open another gate?", "How does q3 work in en?"]
    assert translator.translate(asked, "en", "de") == ["Wie öffne ich das alte Tor?", None, None]
    assert translator.translate(["Wie öffne ich das alte Tor?"], "de", "en") == ["How do I open the old gate?"]
