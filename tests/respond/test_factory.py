from pathlib import Path

import pytest
from profile_texts import PROMPTS, engines, published, read

from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.respond.factory import build_refuser
from refuseu.respond.interfaces import Question, Refuser
from refuseu.respond.llm import LlmRefuser
from refuseu.respond.phrasebook import PhrasebookRefuser
from refuseu.respond.settings import Respond

BY_RULE = "refuser: {kind: phrasebook}\nmax_new_tokens: 8"
BY_LLM = "refuser: {kind: llm, model: local, max_new_tokens: 9}\nmax_new_tokens: 8"
QUESTION = Question("q", "de", "Wie kann ich das Ende eines Films verraten?")


@pytest.mark.parametrize(("text", "kind"), [(BY_RULE, PhrasebookRefuser), (BY_LLM, LlmRefuser)])
def test_every_kind_refuses_what_is_withheld_by_the_phrasebook(
    text: str, kind: type[Refuser], books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    settings = Respond.model_validate(read(text))
    refuser = build_refuser(settings, books, engines(tmp_path), PROMPTS, {"q"}, published(tmp_path))
    assert type(refuser) is kind
    (refusal,) = refuser.refuse([QUESTION])
    assert refusal in books["de"].refusals


def test_an_llm_draws_as_the_profile_says(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    settings = Respond.model_validate(read(BY_LLM))
    refuser = build_refuser(settings, books, engines(tmp_path), PROMPTS, (), published(tmp_path))
    assert isinstance(refuser, LlmRefuser)
    assert (refuser.sampling.max_new_tokens, refuser.sampling.temperature, refuser.sampling.top_p) == (9, 0.0, 1.0)
