"""Logging: one JSON object per line on stdout."""

import logging
import logging.config
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

import orjson

# What a record has of its own; the rest is what a call has added by `extra`. Uvicorn adds its message once more, for
# terminals.
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "api.logs.JsonFormatter"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        # Uvicorn brings handlers of its own; its access line would be a second one per request.
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.access": {"handlers": [], "propagate": False},
        # Each request of ours to the key server, and each of its failures, is ours to tell.
        "httpx2": {"level": "WARNING"},
    },
}


class JsonFormatter(logging.Formatter):
    """Formats a record as an object: time, level, logger, message, what `extra` has added, and the traceback.

    python-json-logger does the same and more, at 8 % of a request that reads one row.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, on one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((name, value) for name, value in vars(record).items() if name not in OWN)
        if record.exc_info:
            line["exc_info"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def write_access(request: Mapping[str, object]) -> None:
    """Write the line of a request, in the form of the others.

    Not through `logging`, whose record, handlers and formatter are a tenth of a request. A line that cannot be
    written is lost, as there: the request has its answer.
    """
    line = {"time": datetime.now(UTC), "level": "INFO", "logger": "partywall.access", "message": "request", **request}
    with suppress(OSError, ValueError):  # a full disk; a stream that is closed
        sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()


def configure_logging() -> None:
    """Send everything that is logged to stdout as JSON."""
    logging.config.dictConfig(LOGGING)
    # What no line has need not be found out for each (Python's Logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
