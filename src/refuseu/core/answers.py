"""The way to a server whose answers are bounded: what is longer than asked for, or never ends, is left where it is.

httpx2 unpacks whatever a server sends and holds all of it: a few kilobytes of gzip may be gigabytes of blanks. Here no more bytes
are unpacked than an answer may have, and no more are read.
"""

import time
import zlib
from collections.abc import AsyncIterator

from httpx2 import AsyncByteStream, AsyncHTTPTransport, DecodingError, ReadTimeout, Request, Response

from refuseu.core.network import UntakenError

ENCODINGS = ("gzip", "x-gzip")
"""What an answer may be packed by; the other packings cannot be opened a part at a time by Python's own library."""


class BoundedTransport(AsyncHTTPTransport):
    """Gives each body of an answer or an error unpacked, and its first ``most`` bytes at most, for ``seconds`` at most."""

    def __init__(self, most: int, seconds: float, **options: object) -> None:
        """``options`` are those of ``AsyncHTTPTransport``."""
        super().__init__(**options)  # type: ignore[arg-type]
        self._most, self._seconds = most, seconds

    async def handle_async_request(self, request: Request) -> Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, AsyncByteStream)
        packed = response.headers.pop("content-encoding", "identity").strip().lower()
        response.stream = _Bounded(response.stream, packed, self._most, self._seconds)
        return response


class _Bounded(AsyncByteStream):
    def __init__(self, stream: AsyncByteStream, packed: str, most: int, seconds: float) -> None:
        self._stream, self._packed, self._most, self._seconds = stream, packed, most, seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """
        Raises:
            UntakenError: when the body is longer, or packed in another way.
            ReadTimeout: when it takes longer, though something comes now and then.
        """
        if self._packed not in ("", "identity", *ENCODINGS):
            raise UntakenError("is packed in a way that was not asked for")
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if self._packed in ENCODINGS else None
        left, latest = self._most, time.monotonic() + self._seconds
        async for chunk in self._stream:
            try:
                # One byte more than is left shows that there is more; what it does not unpack is never unpacked.
                part = unpack.decompress(chunk, left + 1) if unpack else chunk
            except zlib.error:
                raise DecodingError("not gzip") from None
            left -= len(part)
            if left < 0:
                raise UntakenError(f"is longer than what was asked for can be ({self._most / 1e6:.1f} MB)")
            if time.monotonic() > latest:
                raise ReadTimeout("the body does not end")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
