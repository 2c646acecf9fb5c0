"""A model behind a server that speaks OpenAI's API: a hosted one, or one of your own by ``vllm serve``."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from refuseu.core.errors import UserError
from refuseu.engines.chat_completions import MalformedError, endpoint, read_completion, request_body
from refuseu.engines.failures import Blame, Failure, outcome_of, report
from refuseu.engines.protocol import Completion, Prompt, Sampling
from refuseu.engines.unasked import UnaskedError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

HOSTED = "https://api.openai.com/v1"
PATIENCE = 20
"""Rows in a row that fail, each after all its retries, before the server is given up: it has other troubles than a row."""
WITH_WEIGHTS = "give the model the engine vllm or transformers in profiles/"
KEYLESS = "none"
"""Sent where no key is named: the client insists on one, and would take ``OPENAI_API_KEY`` to whatever server it asks."""

Outcome = tuple[int, Completion | Failure]


def served_identity(model: str) -> str:
    """What the rows of a served model are kept under: its name alone, the one thing that is known of it and stays.

    The address is left out, so that a model may move to another machine. What a server calls its ``system_fingerprint``
    is left out too: OpenAI's changes from one answer to the next, vLLM's with the number of GPUs.
    """
    return f"openai:{model}"


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
        self,
        model: str,
        base_url: str | None = None,
        key: str | None = None,
        concurrency: int = 16,
        retries: int = 6,
        timeout: float = 600,
    ) -> None:
        """Nothing is sent yet; the first conversation is then asked alone, and shows what is wrong with server, key or model.

        Args:
            model: the name that the server knows it by.
            base_url: of the server, ``http://localhost:8000/v1``; OpenAI's by default, whatever ``OPENAI_BASE_URL`` says.
            key: NAME of the environment variable that holds the key; ``None`` for a server that wants none.
            concurrency: conversations under way at the same time, at least 1.
            retries: how often a row is tried again after 408, 409, 429, 5xx, a broken connection or a timeout. The client
                waits as long as ``Retry-After`` says up to 120 seconds, and without it 0.5 seconds, doubled up to 8. A row
                that shall wait longer than 120 seconds fails.
            timeout: seconds without a sign of the server after which a try is given up.

        Raises:
            UserError: for a missing package or key, and for a base URL that is none.
        """
        _assert_installed()
        self.identity = served_identity(model)
        self._model = model
        self._base_url = _checked_url(base_url or HOSTED)
        self._key_name = key
        self._key = read_key(key) if key else KEYLESS
        self._concurrency = concurrency
        self._retries = retries
        self._timeout = timeout

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield (position, completion) as they get done, in any order.

        A probability in ``Completion.probabilities`` is 0 for a word that is not among the 20 likeliest, and a completion
        that was declined or did not fit has none.

        Raises:
            UserError: at the end, naming the positions of the conversations without a completion, by reason. When no
                further conversation can be asked either (a refused key, a server that is gone), those under way are still
                yielded. Before anything is sent, for a prefix, and for what OpenAI's own service does not take.
        """
        self._assert_taken(prompts, sampling)
        failures: dict[int, Failure] = {}
        done = 0
        for position, outcome in driven(self._outcomes(prompts, sampling)):
            if isinstance(outcome, Failure):
                failures[position] = outcome
            else:
                done += 1
                yield position, outcome
        if failures:
            told = report(failures, done, len(prompts))
            raise UnaskedError(f"{self._model} at {address(self._base_url)}: ", *told)

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterable[tuple[int, float]]:
        """Not to be had.

        Raises:
            UserError: always, since a chat server tells the likelihood of its own words alone.
        """
        raise UserError(f"{self._model}: a served model gives no log-likelihoods of given answers; {WITH_WEIGHTS}")

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
        width, failed = 1, 0
        async with self._client() as client:
            while True:
                for position in islice(waiting, width - len(running)):
                    asking = self._ask(client, position, prompts[position], sampling)
                    running.add(asyncio.create_task(asking))
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    position, outcome = task.result()
                    blame = outcome.blame if isinstance(outcome, Failure) else None
                    failed = failed + 1 if blame is Blame.MOMENT else 0
                    if blame is Blame.SERVER or failed == PATIENCE:
                        waiting = iter(())
                    yield position, outcome
                width = self._concurrency

    async def _ask(self, client: "AsyncOpenAI", position: int, prompt: Prompt, sampling: Sampling) -> Outcome:
        from httpx2 import Response
        from openai import APIError

        body = request_body(self._model, prompt, sampling)
        try:
            # Not client.chat.completions: it takes an answer that lacks half its fields for a good one.
            response = await client.post(endpoint(prompt), body=body, cast_to=Response)
            return position, read_completion(response.content, prompt, sampling)
        except APIError as error:
            return position, outcome_of(error, self._key_name)
        except MalformedError as error:
            return position, Failure(str(error), Blame.ROW)

    def _client(self) -> "AsyncOpenAI":
        """One a call of ``complete``: its connections belong to that call's event loop."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(api_key=self._key, base_url=self._base_url, max_retries=self._retries, timeout=self._timeout)


def address(url: str) -> str:
    """Of a server, without a user and password that its URL may hold."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _assert_installed() -> None:
    if find_spec("openai") is None:
        raise UserError("the engine openai needs a package that is not installed: pip install 'refuseu[openai]'")


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        usable = False
    if not usable:
        raise UserError(
            "the base URL of a server reads http://host:8000/v1 or https://host/v1; correct it in machines/"
        )
    return url


def read_key(name: str) -> str:
    """The key in an environment variable.

    It is only of characters that a header can carry, since the client shows a header that it cannot send.

    Raises:
        UserError: when the variable holds none.
    """
    key = os.environ.get(name, "").strip()
    if not key:
        raise UserError(f"the environment variable {name} holds no key; export {name}=… before the stage is run")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UserError(f"the environment variable {name} holds something that is no key; export the key alone")
    return key


T = TypeVar("T")


def driven(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """Yield each item as soon as it comes; the event loop runs only while the next one is waited for.

    There is no thread: Ctrl-C, and a caller that stops, end the tasks that the generator has started and close it. What was
    yielded before is the caller's already.
    """
    with asyncio.Runner() as runner:
        while (item := runner.run(_following(items))) is not None:
            yield item


async def _following(items: AsyncGenerator[T, None]) -> T | None:
    return await anext(items, None)
