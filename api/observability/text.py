"""The log for a person at a terminal: `partywall dev`."""

import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS

RED, YELLOW, GREY = 31, 33, 90
COLOURS = {"ERROR": RED, "CRITICAL": RED, "WARNING": YELLOW}
HERE = tuple(f"{Path(__file__).parents[2] / package}{os.sep}" for package in ("api", "db"))
NOT_SHOWN = {*RESERVED_ATTRS, "color_message", "asctime", "message"}


def _coloured(text: str, colour: int | None) -> str:
    shown = colour and sys.stdout.isatty() and not os.environ.get("NO_COLOR")  # https://no-color.org
    return f"\x1b[{colour}m{text}\x1b[0m" if shown else text


class TextFormatter(logging.Formatter):
    """One line for a message, and one for each thing that comes with it."""

    def __init__(self) -> None:
        """Show the time of day."""
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return what stands before a traceback."""
        more = [f"    {name}: {value}" for name, value in vars(record).items() if name not in NOT_SHOWN]
        line = _coloured(super().formatMessage(record), COLOURS.get(record.levelname))
        return "\n".join([line, *more])

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - logging's name, and its triple
        """Return the traceback: of what is called only the code that is here, and where it ends."""
        found = traceback.TracebackException.from_exception(ei[1])
        each: traceback.TracebackException | None = found
        while each:
            each.stack = traceback.StackSummary.from_list(_frames_here(each.stack))
            each = each.__cause__ or each.__context__
        *before, last = "".join(found.format()).rstrip().split("\n")
        return "\n".join([*before, _coloured(last, RED)])


def _frames_here(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    return [frame for frame in stack if frame.filename.startswith(HERE) or frame is stack[-1]]


class AccessFormatter(logging.Formatter):
    """One line for a request: the status first, the id last."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line."""
        request: dict[str, Any] = vars(record)
        status = request["status"] or 0
        colour = RED if status >= 500 else YELLOW if status >= 400 else None  # noqa: PLR2004 - RFC 9110, 15
        line = f"{request['status']} {request['method']} {request['route'] or '-'}"
        cause = f" {request['cause']}" if "cause" in request else ""
        database = f" {request['database']}" if "database" in request else ""
        ids = " ".join(f"{name}={request[name]}" for name in ("user", "trace_id") if name in request)
        details = _coloured(f"{database} {request['duration_ms']} ms {request['request_id']} {ids}".rstrip(), GREY)
        return f"{self.formatTime(record, '%H:%M:%S')} {_coloured(line + cause, colour)}{details}"
