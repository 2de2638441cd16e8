"""The head of a response and its body leave in one system call, although uvicorn writes them one after the other."""

import asyncio
from typing import Any

HEAD = b"HTTP/1.1 "  # every head of uvicorn's begins so


class HeadWithBody:
    """A transport that keeps a head until the write after it, which mostly comes at once.

    If none does, because the response has no body or the app still works on it, the head goes out by itself before the
    event loop waits for anything. What is no head is written at once, so that flow control stays the transport's own.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Write to `transport`, on whose event loop this runs."""
        self._transport = transport
        self._loop = loop
        self._head = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the transport's
        """Return what only the transport itself has: nothing else there depends on what was written."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write `data`, behind the head if there is one."""
        if self._head:
            data, self._head = self._head + data, b""
            self._transport.write(data)
        elif data[: len(HEAD)] == HEAD:
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Write no more."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close when everything is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():  # uvloop raises if the client has left meanwhile
            self._transport.write(head)
