"""Lines on stdout: each whole, or none of it, whatever becomes of what reads them."""

import logging
import os
import sys
from io import UnsupportedOperation

_rest = b""  # of a line of which the beginning was written


def write_line(line: bytes) -> None:
    """Write a line in one system call. A line that cannot be written is lost: nobody waits for the log, or fails by it.

    A pipe that is full and a disk that is can take a part of a line. The rest of it comes before the next one.
    """
    global _rest  # noqa: PLW0603 - stdout is one as well
    behind = len(_rest)
    try:
        written = _write(_rest + line)
    except (OSError, ValueError):  # a reader that has ended, a full disk; a stream that is closed
        return
    _rest = (_rest + line)[written:] if written > behind else _rest[written:]


def _write(data: bytes) -> int:
    """Write to stdout, past its buffer, which could keep a part of a line back; return how many bytes were taken."""
    try:
        descriptor = sys.stdout.fileno()
    except UnsupportedOperation:  # redirected within this process
        return sys.stdout.buffer.write(data)
    return os.write(descriptor, data)


class LineHandler(logging.Handler):
    """A handler of `logging` that writes lines to stdout."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as `logging` has it: a line that cannot be formatted fails nobody either
            line = f"a line of {record.name} could not be formatted"
        write_line(f"{line}\n".encode(errors="backslashreplace"))
