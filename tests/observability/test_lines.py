"""Lines of the log are whole, and no request waits for one or fails by it."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit
from signal import SIG_IGN, SIGXFSZ, signal

import pytest

from api.observability.lines import LineHandler, write_line


@contextmanager
def stdout_to(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch, suppress(OSError), os.fdopen(descriptor, "w", closefd=False) as stream:
        patch.setattr(sys, "stdout", stream)
        yield


def numbered(number: int, size: int) -> bytes:
    return f"{number} {'x' * size}\n".encode()


def read_all(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    parts = []
    with suppress(BlockingIOError):
        while part := os.read(descriptor, 65536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("size", [100, 5000, 100_000], ids=lambda size: f"lines of {size}")
def test_a_pipe_that_is_full_gets_whole_lines_when_it_is_read_again(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received = b""
    numbers = count()
    with stdout_to(writer, monkeypatch):
        for _ in range(5):
            for _ in range(200_000 // size):  # more than it takes
                write_line(numbered(next(numbers), size))
            received += read_all(reader)
        write_line(b"end\n")  # with what was left of the one before it
        received += read_all(reader)
        write_line(b"last\n")
        received += read_all(reader)
    os.close(reader)
    os.close(writer)

    *lines, last = received.splitlines(keepends=True)
    assert last == b"last\n"
    written = [line for line in lines if line != b"end\n"]
    assert [line for line in written if line != numbered(int(line.split()[0]), size)] == []
    assert len(written) > 1


def test_a_disk_that_is_full_gets_whole_lines_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, handler = getrlimit(RLIMIT_FSIZE), signal(SIGXFSZ, SIG_IGN)
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with stdout_to(file, monkeypatch):
        try:
            setrlimit(RLIMIT_FSIZE, (250, before[1]))
            for number in range(5):
                write_line(numbered(number, 97))
        finally:
            setrlimit(RLIMIT_FSIZE, before)
            signal(SIGXFSZ, handler)
        write_line(b"again\n")
    os.close(file)

    assert (tmp_path / "log").read_bytes() == numbered(0, 97) + numbered(1, 97) + numbered(2, 97) + b"again\n"


def test_a_reader_that_has_gone_and_a_closed_stream_fail_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with stdout_to(writer, monkeypatch):
        write_line(b"a line\n")
    with stdout_to(writer, monkeypatch):
        sys.stdout.close()
        write_line(b"a line\n")
    os.close(writer)


def test_what_is_logged_is_written_and_what_cannot_be_formatted_is_not_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = LineHandler()
    handler.handle(logging.LogRecord("test", logging.INFO, __file__, 1, "as %s", ("it is \ud800",), None))
    handler.handle(logging.LogRecord("test", logging.INFO, __file__, 1, "two %s", ("secret", "secret"), None))
    assert capsys.readouterr() == ("as it is \\ud800\na line of test could not be formatted\n", "")
