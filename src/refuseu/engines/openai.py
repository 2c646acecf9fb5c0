"""A model behind a server that speaks OpenAI's API: a hosted one, or one of your own by ``vllm serve``."""

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, final
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from refuseu.core.errors import UserError
from refuseu.core.network import UntakenError, async_client, network_faults, proxy_of, refuse_credentials
from refuseu.core.sections import Positive, Rate
from refuseu.core.terminal import say
from refuseu.engines.machine import EngineMachine, Machine, needed
from refuseu.engines.model import ServedModel
from refuseu.engines.openai_faults import PLAIN, Blame, Failure, Trust, outcome_of, untaken
from refuseu.engines.openai_format import endpoint, most_bytes, read_outcome, request_body
from refuseu.llm.protocol import Completion, Failed, Finish, Prompt, Sampling
from refuseu.weights.template import CLOCK, NONE, Variables

if TYPE_CHECKING:
    from openai import AsyncOpenAI

HOSTED = "https://api.openai.com/v1"
WITH_WEIGHTS = "give the model the engine vllm or transformers in profiles/"
KEYLESS = "none"
"""Sent where no key is named: the client insists on one, and would take ``OPENAI_API_KEY`` to whatever server it asks."""
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
"""How an environment variable is named, and a key is not."""

Outcome = tuple[int, Completion | Failure]


class OpenaiMachine(EngineMachine):
    """Where the engine ``openai`` finds its models, and how it asks them."""

    base_url: str | None = None
    """Of the endpoint, as ``http://127.0.0.1:8000/v1``; nothing for OpenAI's own."""
    base_urls: dict[str, str | None] = Field(default_factory=dict)
    """Of those models that lie elsewhere, by their name in the profile; nothing again for OpenAI's own."""
    concurrency: Positive
    """Requests that are under way at once."""
    retries: Annotated[int, Field(ge=0)]
    """How often a request is sent again that the endpoint was too busy for."""
    timeout: Rate
    """Seconds that an answer may take."""

    def url_of(self, name: str) -> str:
        """Where one of the profile's models is."""
        return self.base_urls.get(name, self.base_url) or HOSTED


@final
class OpenaiModel(ServedModel):
    """A model behind an OpenAI-compatible endpoint; where that is, the machine says."""

    section: ClassVar = OpenaiMachine
    package: ClassVar = "openai"
    install: ClassVar = "openai -c requirements.lock"

    engine: Literal["openai"]
    model: str
    """What the endpoint calls it."""

    @field_validator("key", mode="before")
    @classmethod
    def _names_a_variable(cls, key: Any) -> Any:
        """Checks this before pydantic does, whose message would show a key that somebody wrote here."""
        if key is None or (isinstance(key, str) and VARIABLE.fullmatch(key)):
            return key
        raise ValueError(
            "must be the name of an environment variable (capital letters, digits and _) such as OPENAI_API_KEY; export the "
            "key in that variable, and write it into no file"
        )

    @field_validator("chat_template_kwargs")
    @classmethod
    def _are_sent_as_they_are(cls, variables: Variables) -> Variables:
        if CLOCK in json.loads(variables):
            raise ValueError(f"{CLOCK} cannot be set on a server; name the variable in which its template takes a date")
        return variables

    def missing(self, name: str, machine: Machine) -> list[str]:
        own = machine.section(OpenaiMachine)
        url = address_faults(own.url_of(name)) if own else []
        return [*super().missing(name, machine), *url, *(key_fault(self.key) if self.key else [])]

    @property
    def identity(self) -> str:
        """Its name and what its chat template is given, all that is known of it and stays.

        The address is left out, so that a model may move to another machine. What a server calls its ``system_fingerprint``
        is left out too: OpenAI's changes from one answer to the next, vLLM's with the number of GPUs.
        """
        return f"openai:{self.model}{self.given}"

    def address(self, name: str, machine: Machine) -> str:
        return shown(needed(machine, OpenaiMachine, name, self.engine).url_of(name))

    def open(self, name: str, machine: Machine) -> "OpenaiEngine":
        self.assert_ready(name, machine)
        own = needed(machine, OpenaiMachine, name, self.engine)
        return OpenaiEngine(self, own.url_of(name), own.concurrency, own.retries, own.timeout)


class OpenaiEngine:
    """Asks a served model, up to ``concurrency`` prompts at once.

    Raw prompts and ``Sampling.chat_template_kwargs`` are for servers of your own, such as ``vllm serve``: OpenAI's own service
    gives its models no raw prompts, and tells nothing of a chat template.

    Weights, revision, precision, chat template and batching of a served model are the server's business and cannot be
    seen from here, nor whether they change behind a name. So name a dated snapshot (``gpt-4o-mini-2024-07-18``), or serve
    a fixed revision under a name that says it, and expect that the same seed now and then draws another answer: what is in
    the row store stays as it is.
    """

    def __init__(
        self, model: OpenaiModel, base_url: str = HOSTED, concurrency: int = 16, retries: int = 6, timeout: float = 600
    ) -> None:
        """Nothing is sent yet; rows are then asked one at a time until one is answered, which shows what is wrong with the rest.

        Args:
            model: what the server calls the model, and the NAME of the environment variable that holds the key.
            base_url: of the server, ``http://localhost:8000/v1``; OpenAI's by default, whatever ``OPENAI_BASE_URL`` says.
            concurrency: rows under way at the same time, at least 1.
            retries: how often a row is tried again after 408, 409, 429, 5xx, a broken connection or a timeout. The client
                waits as long as ``Retry-After`` says up to 120 seconds, and without it 0.5 seconds, doubled up to 8.
                Where it shall wait for longer, nothing more is asked.
            timeout: seconds without a sign of the server after which a try is given up, and seconds from the first byte of an
                answer to its last.

        Raises:
            UserError: for a missing key, for a base URL that is none, and for a proxy or certificates that cannot be used.
        """
        refuse_credentials(f"{model.model}: the base URL", base_url)
        for sentence in [*address_faults(base_url), *(key_fault(model.key) if model.key else [])]:
            raise UserError(sentence)
        self.identity = model.identity
        self._model = model.model
        self._variables = model.chat_template_kwargs
        self._base_url = base_url
        self._key_name = model.key
        self._key = _key(model.key) if model.key else KEYLESS
        self._concurrency = concurrency
        self._retries = retries
        self._timeout = timeout
        self._noted: set[str] = set()
        proxy = proxy_of(base_url)
        by = f" (by the proxy of {proxy.variable})" if proxy else ""
        self._at = f"{self._model} at {shown(base_url)}{by}"

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield (position, completion) as they get done, in any order.

        A probability in ``Completion.probabilities`` is 0 for a word that is not among the 20 likeliest, and a completion
        that was declined or did not fit has none.

        Raises:
            UserError: when no further row can be asked either (a refused key, a server that is gone), after those under way
                were yielded. Before anything is sent, for a prefix, and for what OpenAI's own service does not take.
        """
        sampling = replace(sampling, chat_template_kwargs=self._given(sampling))
        self._assert_taken(prompts, sampling)
        stopped, done = "", 0
        for position, outcome in as_iterator(self._outcomes(prompts, sampling)):
            match outcome:
                case Completion():
                    done += 1
                    yield position, outcome
                case Failure(reason=reason, blame=Blame.SERVER):
                    stopped = stopped or reason
                case Failure(reason=reason):
                    yield position, Completion("", Finish.FAILED, reason=reason)
        if stopped:
            kept = f"{done} of {len(prompts)} rows are done, and are kept" if done else "no row is done"
            raise UserError(f"{self._at}: {stopped}; {kept}")

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterable[tuple[int, float | Failed]]:
        """Refuse, because a chat server gives no log-likelihoods of a given text.

        Raises:
            UserError: always, since a chat server tells the likelihood of its own words alone.
        """
        raise UserError(f"{self._model}: a served model gives no log-likelihoods of given answers; {WITH_WEIGHTS}")

    def _given(self, sampling: Sampling) -> str | None:
        """What the chat template is given: the model's own variables, and above them those of the call."""
        merged = json.loads(self._variables) | json.loads(sampling.chat_template_kwargs or NONE)
        return json.dumps(merged) if merged else sampling.chat_template_kwargs

    def _assert_taken(self, prompts: Sequence[Prompt], sampling: Sampling) -> None:
        if sampling.prefix:
            raise UserError(
                f"{self._model}: a served model cannot be made to begin its answer with a given text; {WITH_WEIGHTS}"
            )
        if urlsplit(self._base_url).hostname == urlsplit(HOSTED).hostname:
            raw = any(isinstance(prompt, str) for prompt in prompts)
            if raw or sampling.chat_template_kwargs is not None:
                what = "raw prompts" if raw else "variables for a chat template (chat_template_kwargs)"
                raise UserError(
                    f"{self._model}: OpenAI's own service takes no {what}; {WITH_WEIGHTS}, or serve it by vLLM"
                )

    async def _outcomes(self, prompts: Sequence[Prompt], sampling: Sampling) -> AsyncGenerator[Outcome, None]:
        waiting = iter(range(len(prompts)))
        running: set[asyncio.Task[Outcome]] = set()
        trust = Trust()
        async with self._client(sampling) as client:
            while True:
                for position in islice(waiting, (self._concurrency if trust.answered else 1) - len(running)):
                    asking = asyncio.create_task(self._ask(client, position, prompts[position], sampling))
                    asking.add_done_callback(_heard)
                    running.add(asking)
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    position, heard = task.result()
                    outcome = trust.heard(heard)
                    if isinstance(outcome, Failure) and outcome.blame is Blame.SERVER:
                        waiting = iter(())
                    yield position, outcome

    async def _ask(self, client: "AsyncOpenAI", position: int, prompt: Prompt, sampling: Sampling) -> Outcome:
        from httpx2 import Response
        from openai import APIError

        body = request_body(self._model, prompt, sampling)
        try:
            # Not client.chat.completions: it takes an answer that lacks half its fields for a good one.
            response = await client.post(endpoint(prompt), body=body, cast_to=Response)
            return position, read_outcome(response.content, prompt, sampling, self._unknown)
        except APIError as error:
            return position, outcome_of(error, self._key_name)
        except UntakenError as error:
            return position, untaken(error)

    def _unknown(self, reason: str) -> None:
        """Note once that answers end for a reason that is not known here."""
        shown_reason = reason if PLAIN.fullmatch(reason) else "something else"
        if shown_reason not in self._noted:
            self._noted.add(shown_reason)
            what = f"answers end by the finish reason '{shown_reason}', which is not known here"
            say(f"Note: {self._at}: {what}; they are taken as whole", err=True)

    def _client(self, sampling: Sampling) -> "AsyncOpenAI":
        """Make a client for one call of ``complete``, because its connections belong to the event loop of that call."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            api_key=self._key,
            base_url=self._base_url,
            max_retries=self._retries,
            timeout=self._timeout,
            http_client=async_client(self._base_url, self._concurrency, most_bytes(sampling), self._timeout),
        )


def shown(url: str) -> str:
    """The URL of a server without a user and password that it may hold."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def address_faults(url: str) -> list[str]:
    """What is wrong with the base URL of a server, and with what the environment says of the way to it, a sentence each."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        usable = False
    if usable:
        return network_faults(url)
    return ["the base URL of a server reads http://host:8000/v1 or https://host/v1; correct it in machines/"]


def key_fault(name: str) -> list[str]:
    """What is wrong with the key in an environment variable, as one sentence or none.

    A key is only of characters that a header can carry, since the client shows a header that it cannot send.
    """
    key = _key(name)
    if not key:
        return [f"the environment variable {name} holds no key; export {name}=… before the stage is run"]
    if not (key.isascii() and key.isprintable()) or " " in key:
        return [f"the environment variable {name} holds something that is no key; export the key alone"]
    return []


def _key(name: str) -> str:
    return os.environ.get(name, "").strip()


T = TypeVar("T")


def as_iterator(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """Yield each item as soon as it comes; the event loop runs only while the next one is waited for.

    There is no thread: Ctrl-C, and a caller that stops, end the tasks that the generator has started and close it. What was
    yielded before is the caller's already.
    """
    with asyncio.Runner() as runner:
        while (item := runner.run(_following(items))) is not None:
            yield item


def _heard(asking: asyncio.Task[Outcome]) -> None:
    """Ctrl-C may come out of any task while all are ended; asyncio would print its traceback if nobody took it."""
    if not asking.cancelled():
        asking.exception()


async def _following(items: AsyncGenerator[T, None]) -> T | None:
    return await anext(items, None)
