"""Plays the roles of a profile whose words must make sense, by OpenAI's API on this machine.

The script knows no more than the phrasebook: it writes its questions, refusals and compliances, and judges by them, each role
in the words of the model that it stands for. Where a model babbles, the guards differ now and then, so that the adjudicator is
asked.
"""

import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any

from refuseu.core.errors import UserError
from refuseu.experiment import LANGUAGES, PIVOT, Kind
from refuseu.judges.chat import FORMS, PLACE
from refuseu.judges.polyguard import PolyGuardJudge
from refuseu.judges.verdict import Harm, Reply
from refuseu.llm.prompts import PLACEHOLDER, PromptTemplate, read_prompt
from refuseu.llm.protocol import Conversation
from refuseu.parameters import Parameters
from refuseu.phrasebook.phrasebook import Behavior, Phrasebook, Reading, load_phrasebooks
from refuseu.rainbow_teaming import generator, mutators, scoring, twins
from refuseu.respond.answers import PLACEHOLDERS as REFUSAL
from refuseu.translate import translators

KNOWN = {
    "rainbow-teaming.mutator": ("generator", "llm", "phrasebook", "published"),
    "rainbow-teaming.twin": ("llm", "none", "phrasebook"),
    "translate.translator": ("llm", "native", "phrasebook", "published"),
    "respond.refuser": ("llm", "phrasebook", "published"),
    "respond.rejected": ("base", "llm", "published"),
    "eval.rating": ("chat", "none"),
    "label.judges": ("chat", "llama-guard-3", "polyguard"),
}
"""The kinds of each role that the script plays, or that need no script."""
RULES = ("lexicon", "ngrams", "nearest", "phrases")
"""Judges that are no models."""


def assert_playable(p: Parameters) -> None:
    """
    Raises:
        UserError: for the first role of a kind that the script does not know.
    """
    search = p.rainbow_teaming
    parts = [search.mutator, search.twin, p.translate.translator, p.respond.refuser, p.respond.rejected, p.eval.rating]
    judges = [("label.judges", each) for each in (*p.label.judges.values(), *p.label.adjudicators.values())]
    for key, part in [*zip(list(KNOWN)[: len(parts)], parts, strict=True), *judges]:
        if part.kind not in (*KNOWN[key], *RULES):
            raise UserError(
                f"{key}: WEIGHTS=random has no script for the kind {part.kind}; rehearse this profile by WEIGHTS=real where its "
                "models can be had"
            )


@dataclass
class Script:
    """What each of the profile's models says; ``data`` is the folder of phrasebook and prompts."""

    parameters: Parameters
    data: Path
    given: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Questions that were written for a language, category and style."""

    def __post_init__(self) -> None:
        p, prompts = self.parameters, self.data / "prompts"
        self.books = load_phrasebooks(self.data / "phrasebook", p.languages, p.categories, p.styles)
        self.generation = PromptTemplate.read(prompts / "generation.md", generator.PLACEHOLDERS)
        self.refusal = PromptTemplate.read(prompts / "refusal.md", REFUSAL)
        # The two steps of a search's mutator; the first one names no style.
        self.steps = [
            PromptTemplate.read(prompts / "category.md", mutators.CATEGORY_PLACEHOLDERS),
            PromptTemplate.read(prompts / "style.md", mutators.STYLE_PLACEHOLDERS),
        ]
        self.twin = PromptTemplate.read(prompts / "twin.md", twins.PLACEHOLDERS)
        self.translation = PromptTemplate.read(prompts / "translation.md", translators.PLACEHOLDERS)
        self.preference = PromptTemplate.read(prompts / "preference.md", scoring.PLACEHOLDERS)
        self.hazards = mutators.read_hazards(prompts / "hazards.yaml", p.categories)
        self.forms = {name: read_prompt(prompts / form.prompt) for name, form in FORMS.items()}
        self.guards = {getattr(judge, "model", ""): judge.kind for judge in p.label.judges.values()}
        self.rater = getattr(p.eval.rating, "model", None)

    def says(self, model: str, asked: Conversation) -> str:
        """The answer of a model of the profile to a conversation."""
        p = self.parameters
        last = asked[-1]["content"]
        if (found := values(self.generation.user, last)) is not None:
            return said(mutators.FIELD, self._question(found))
        for step in self.steps:
            if (found := values(step.user, last)) is not None:
                english = {"language": LANGUAGES[PIVOT].name, "style": next(iter(p.styles.values())), "examples": ""}
                return said(mutators.FIELD, self._question(english | found))
        if (found := values(self.twin.user, last)) is not None:
            return said(mutators.FIELD, self._benign(found["question"]))
        if (found := values(self.translation.user, last)) is not None:
            return said(translators.FIELD, self._translated(**found))
        if (found := values(self.preference.user, last)) is not None:
            return "A" if number(found["answer_a"]) > number(found["answer_b"]) else "B"
        if (found := values(self.refusal.system, asked[0]["content"])) is not None:
            refusals = self._book(found["language"]).refusals
            return refusals[number(last) % len(refusals)]
        for form, prompt in self.forms.items():
            before, after = prompt.split(PLACE)
            if last.startswith(before) and last.endswith(after):
                exchange = json.loads(last[len(before) : len(last) - len(after)])
                return self._ruling(form, exchange["question"], exchange["answer"])
        match self.guards.get(model):
            case "llama-guard-3":
                harm, _, category = self._judged(asked[0]["content"], asked[1]["content"] if asked[1:] else None)
                return f"unsafe\n{category}" if harm is Harm.HARMFUL else "safe"
            case "polyguard":
                return self._polyguard(last)
        if model == self.rater:
            return json.dumps({"fluency": 1 + number(last) % 5, "correctness": 1 + number(last[::-1]) % 5})
        read = self._read(last)
        return self.books[read[0]].compliances.harmful[number(last) % 3] if read else "…"

    def _book(self, name: str) -> Phrasebook:
        return next(book for code, book in self.books.items() if LANGUAGES[code].name == name)

    def _question(self, wanted: dict[str, str]) -> str:
        """One of the phrasebook that was not given yet, as long as there are any."""
        book = self._book(wanted["language"])
        category = next(key for key, text in self.hazards.items() if text == wanted["category"])
        style = next(key for key, name in self.parameters.styles.items() if name == wanted["style"])
        readings = [
            Reading(style, frame, Behavior(category, behavior, Kind.HARMFUL))
            for behavior, frame in product(book.behaviors[category], range(len(book.styles[style])))
        ]
        cell = (wanted["language"], category, style)
        unseen = [each for each in map(book.compose, readings) if each not in wanted["examples"]]
        self.given[cell] += 1
        # 7 has no divisor in common with most numbers of questions, so that neighbours differ in frame and behavior.
        return unseen[7 * self.given[cell] % len(unseen)]

    def _benign(self, question: str) -> str:
        lang, reading = self._read(question) or (PIVOT, None)
        return (
            self.books[lang].compose(replace(reading, behavior=replace(reading.behavior, kind=Kind.BENIGN)))
            if reading
            else ""
        )

    def _translated(self, text: str, source: str, target: str) -> str:
        reading = self._book(source).parse(text)
        return self._book(target).compose(reading) if reading else text

    def _read(self, question: str) -> tuple[str, Reading] | None:
        """The language of a question of the phrasebook, and the question taken apart."""
        found = ((code, book.parse(question)) for code, book in self.books.items())
        return next(((code, reading) for code, reading in found if reading), None)

    def _judged(self, question: str, answer: str | None, doubt: int = 0) -> tuple[Harm, Reply, str]:
        """Harm, reply and category. Of what is neither refusal nor compliance, every third is harmful where ``doubt`` is 1."""
        read = self._read(question)
        category = read[1].behavior.category if read else "S2"
        if answer is None:
            return (
                (Harm.HARMFUL if read and read[1].behavior.kind is Kind.HARMFUL else Harm.SAFE),
                Reply.ABSENT,
                category,
            )
        if any(answer in book.refusals for book in self.books.values()):
            return Harm.SAFE, Reply.REFUSAL, category
        complied = any(answer in book.compliances.texts for book in self.books.values())
        harmful = complied or bool(doubt and number(answer) % 3 == 0)
        return (Harm.HARMFUL if harmful else Harm.SAFE), Reply.COMPLIANCE, category

    def _ruling(self, form: str, question: str, answer: str | None) -> str:
        harm, reply, category = self._judged(question, answer)
        if form == "lines":
            return f"unsafe\n{category}" if harm is Harm.HARMFUL else "safe"
        return json.dumps({"harm": harm, "reply": reply})

    def _polyguard(self, text: str) -> str:
        question, _, answer = text.removeprefix("Human user:\n").partition("\n\nAI assistant:\n")
        asked, _, category = self._judged(question, None)
        harm, reply, _ = self._judged(question, answer, doubt=1) if answer else (Harm.SAFE, Reply.COMPLIANCE, "")
        said = [asked is Harm.HARMFUL, asked is Harm.HARMFUL, reply is Reply.REFUSAL, harm is Harm.HARMFUL]
        words = ["yes" if each else "no" for each in said]
        words[1] = category if said[1] else "None"
        return "\n".join(
            map(": ".join, zip(PolyGuardJudge.labels, [*words, category if said[3] else "None"], strict=True))
        )


def said(entry: str, text: str) -> str:
    """The JSON object in which models write."""
    return json.dumps({entry: text}, ensure_ascii=False)


def number(text: str) -> int:
    """A number that looks drawn and is the same for the same text."""
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big")


def values(template: str, text: str) -> dict[str, str] | None:
    """What stands in the places of a prompt that was written out; ``None`` for another text."""
    form, seen = "", set()
    for place, part in enumerate(PLACEHOLDER.split(template)):
        if place % 2:
            form += f"(?P={part})" if part in seen else f"(?P<{part}>.*?)"
            seen.add(part)
        else:
            form += re.escape(part)
    found = re.fullmatch(form, text, re.DOTALL)
    return found.groupdict() if found else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script, self.lock = script, threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A stage that was killed hangs up, in the midst of a request too; any other error is shown as the library does."""
        if not isinstance(sys.exc_info()[1], ConnectionError | json.JSONDecodeError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: two would wait for each other
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            text = self.server.script.says(body["model"], body["messages"])
        # Whoever asks for probabilities asks for one token, and this one is as good as sure.
        likely = {"content": [{"top_logprobs": [{"token": text, "logprob": 0.0}]}]} if body.get("logprobs") else None
        choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": text}, "logprobs": likely}
        reply = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the rehearsal's."""


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """The URL at which the script is played while the block runs."""
    with _Server(script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            thread.join()
