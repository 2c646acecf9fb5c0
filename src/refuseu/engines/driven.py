"""Lets a caller that is not asynchronous take items of an asynchronous generator."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import TypeVar

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
