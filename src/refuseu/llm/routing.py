"""Divides a batch between a model and a rule, for items that a model must not see or need not see."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def route(
    items: Sequence[Item],
    to_model: Sequence[bool],
    model: Callable[[list[Item]], Sequence[Answer]],
    rule: Callable[[list[Item]], Sequence[Answer]],
) -> list[Answer]:
    """Return one answer for each of ``items``, in their order.

    Items whose flag in ``to_model`` is true are answered by ``model``, all others by ``rule``. Each of the two is called once,
    with its items in their order; the rule is called first.

    Raises:
        ValueError: when there are not as many flags as items.
    """
    flagged = list(zip(items, to_model, strict=True))
    by_rule = iter(rule([item for item, shown in flagged if not shown]))
    by_model = iter(model([item for item, shown in flagged if shown]))
    return [next(by_model if shown else by_rule) for shown in to_model]
