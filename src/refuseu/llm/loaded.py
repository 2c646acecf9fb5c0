"""The models that are in memory at once."""

from collections.abc import Callable

from refuseu.llm.protocol import LoadedEngine


class LoadedModels:
    """Holds at most ``most`` models, those that were asked last: GPUs seldom hold all that a stage asks."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._engines: dict[str, LoadedEngine] = {}

    def get(self, name: str, load: Callable[[], LoadedEngine]) -> LoadedEngine:
        """The model ``name``; where it is not in memory, it is loaded after the one asked longest ago was closed."""
        engine = self._engines.pop(name, None)
        if engine is None:
            while len(self._engines) >= self._most:
                self._engines.pop(next(iter(self._engines))).close()
            engine = load()
        self._engines[name] = engine  # at the end: a dict keeps its order
        return engine

    def close(self) -> None:
        """All models give their memory back; who asks for one later has it loaded anew."""
        while self._engines:
            self._engines.popitem()[1].close()
