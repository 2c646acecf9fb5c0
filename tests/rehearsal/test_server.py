"""The script: each role's words are what the pipeline's own readers understand."""

import json
from collections.abc import Iterator

import pytest
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.engines.openai import OpenaiEngine, OpenaiModel
from refuseu.eval.rating import PLACEHOLDERS as RATED
from refuseu.experiment import Kind
from refuseu.judges import llama_guard
from refuseu.judges.chat import conversation, parse_lines, parse_ruling
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.polyguard import PolyGuardJudge
from refuseu.judges.registry import settings_class
from refuseu.judges.verdict import Exchange, Harm, Reply
from refuseu.llm.prompts import PromptTemplate, read_prompt
from refuseu.llm.protocol import Sampling, completed, user
from refuseu.parameters import load_all
from refuseu.phrasebook.phrasebook import Behavior, Phrasebook, Reading
from refuseu.rainbow_teaming import generator, mutators, scoring, twins
from refuseu.rainbow_teaming.interfaces import Target
from refuseu.rehearsal.server import Script, assert_playable, serving, values
from refuseu.respond import answers
from refuseu.text.identification import Identifier
from refuseu.translate import translators

P = load_all(ROOT, "paper-8b")


@pytest.fixture
def script() -> Script:
    return Script(P, ROOT / "data")


@pytest.fixture
def book(script: Script) -> Phrasebook:
    return script.books["lt"]


def harmful(book: Phrasebook) -> str:
    return book.compose(Reading("slang", 0, Behavior("S6", next(iter(book.behaviors["S6"])), Kind.HARMFUL)))


def test_what_stands_in_the_places_of_a_prompt_is_found() -> None:
    template = "In {language}: {question} ({language})"
    assert values(template, "In Polish: what? (Polish)") == {"language": "Polish", "question": "what?"}
    assert values(template, "In Polish: what? (Czech)") is None


def test_questions_are_of_what_was_asked_and_differ_from_the_examples(script: Script, book: Phrasebook) -> None:
    prompt = PromptTemplate.read(ROOT / "data/prompts/generation.md", generator.PLACEHOLDERS)
    wanted = {"category": script.hazards["S6"], "activity": "x", "style": "Slang", "language": "Lithuanian"}
    asked = prompt.conversation(**wanted, examples=f"- {harmful(book)}")
    written = [json.loads(script.says("mistral", asked))["question"] for _ in range(4)]
    assert len(set(written)) == 4 and harmful(book) not in written
    for text in written:
        reading = book.parse(text)
        assert reading and (reading.style, reading.behavior.category) == ("slang", "S6")


def test_a_refuser_refuses_and_a_model_that_is_told_nothing_complies(script: Script, book: Phrasebook) -> None:
    prompt = PromptTemplate.read(ROOT / "data/prompts/refusal.md", answers.PLACEHOLDERS)
    asked = prompt.conversation(question=harmful(book), language="Lithuanian", sentences="6")
    assert script.says("instruct", asked) in book.refusals
    assert script.says("lorablated", user(harmful(book))) in book.compliances.harmful


@pytest.mark.parametrize(
    ("answer", "harm"), [(None, Harm.HARMFUL), ("refusal", Harm.SAFE), ("compliance", Harm.HARMFUL)]
)
def test_every_judge_is_understood(answer: str | None, harm: Harm, script: Script, book: Phrasebook) -> None:
    texts = {"refusal": book.refusals[0], "compliance": book.compliances.harmful[0]}
    exchange = Exchange("lt", harmful(book), texts[answer] if answer else None)
    guard = llama_guard.parse(script.says("llama-guard-3", llama_guard.turns(exchange)), answer is not None)
    assert (guard.harm, guard.categories) == (harm, ("S6",) if harm is Harm.HARMFUL else ())
    poly = PolyGuardJudge.parse(script.says("polyguard", PolyGuardJudge.prompt(exchange)), answer is not None)
    assert (poly.harm, poly.reply) == (harm, Reply(answer or "absent"))
    for form, parse in (("lines", parse_lines), ("json", parse_ruling)):
        asked = conversation(exchange, read_prompt(ROOT / f"data/prompts/adjudicator/{form}.md"))
        assert parse(script.says("gpt-4o-mini", asked), answer is not None).harm is harm


def test_guards_differ_on_babble_now_and_then(script: Script, book: Phrasebook) -> None:
    differ = []
    for number in range(20):
        exchange = Exchange("lt", harmful(book), f"babble {number}")
        guard = llama_guard.parse(script.says("llama-guard-3", llama_guard.turns(exchange)), True)
        poly = PolyGuardJudge.parse(script.says("polyguard", PolyGuardJudge.prompt(exchange)), True)
        differ.append(guard.harm is not poly.harm)
    assert 0 < sum(differ) < 20


def test_a_rater_gives_marks(script: Script) -> None:
    prompt = PromptTemplate.read(ROOT / "data/prompts/fluency.md", RATED)
    marks = json.loads(script.says("gpt-oss-120b", prompt.conversation(language="Polish", question="q", answer="a")))
    assert set(marks) == {"fluency", "correctness"} and set(marks.values()) <= {1, 2, 3, 4, 5}


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    with serving(script) as found:
        yield found


def test_the_engine_openai_is_answered(url: str, book: Phrasebook) -> None:
    engine = OpenaiEngine(OpenaiModel(engine="openai", model="lorablated"), url)
    said = completed(engine, [user(harmful(book))] * 3, Sampling(8))
    assert {each.text for each in said} <= set(book.compliances.harmful)


def test_a_search_by_models_is_played_from_mutation_to_translation(url: str, script: Script) -> None:
    """The real roles ask the script by the engine of served models."""
    books, identifier = script.books, Identifier(P.languages)
    engine = OpenaiEngine(OpenaiModel(engine="openai", model="instruct"), url)
    by_rule = mutators.PhrasebookMutator(books["en"])
    wording = mutators.Wording(*script.steps, script.hazards, P.styles)
    mutator = mutators.LlmMutator(engine, Sampling(64), wording, by_rule.seed_set(), identifier, by_rule)
    parent = mutator.seeds()[0]
    (question,) = mutator.mutate([Target(parent, "S6", "slang", "a seed")])
    assert question
    reading = books["en"].parse(question.text)
    assert reading and (reading.behavior.category, reading.style) == ("S6", "slang")

    (twin,) = twins.LlmTwins(engine, Sampling(64), script.twin, identifier, twins.PhrasebookTwins(books["en"])).twins(
        [question]
    )
    assert twin and (benign := books["en"].parse(twin)) and benign.behavior.kind is Kind.BENIGN

    translator = translators.LlmTranslator(engine, Sampling(64), script.translation)
    (translated,) = translator.translate([question.text], "en", "lt")
    assert translated and books["lt"].parse(translated) == reading
    assert translator.translate([translated], "lt", "en") == [question.text]

    exchanges = Exchange("en", question.text, "one"), Exchange("en", question.text, "two")
    preference = scoring.LlmPreference(engine, script.preference, books["en"], NgramJudge(books))
    first, second = preference.prefers([exchanges, exchanges[::-1]])
    assert {first, second} == {True, False}


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("profiles/*.yaml")))
def test_every_profile_of_ours_has_its_script(name: str) -> None:
    assert_playable(load_all(ROOT, name))


def test_a_role_without_a_script_is_named() -> None:
    guards = {
        "mine": P.label.judges["polyguard"],
        "wild": settings_class("wildguard")(kind="wildguard", model="polyguard"),
    }
    label = P.label.model_copy(update={"judges": guards})
    with pytest.raises(UserError) as caught:
        assert_playable(P.model_copy(update={"label": label}))
    assert caught.value.message == (
        "label.judges: WEIGHTS=random has no script for the kind wildguard; rehearse this profile by WEIGHTS=real where its "
        "models can be had"
    )
