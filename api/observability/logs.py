"""Logging: one JSON object per line on stdout; text for a person who develops."""

import logging
import logging.config
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from pythonjsonlogger.core import RESERVED_ATTRS

from db.connect import sqlstate

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.orjson.OrjsonFormatter",
            "fmt": "%(levelname)s %(name)s %(message)s",
            "rename_fields": {"levelname": "level", "name": "logger"},
            "timestamp": "time",
            "reserved_attrs": [*RESERVED_ATTRS, "color_message"],  # Uvicorn's message once more, for terminals
        }
    },
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


# Over LOGGING, for `partywall dev`.
TEXT: dict[str, dict[str, Any]] = {
    "formatters": {
        "json": {"()": "api.observability.text.TextFormatter"},
        "access": {"()": "api.observability.text.AccessFormatter"},
    },
    "handlers": {"access": {"class": "logging.StreamHandler", "formatter": "access", "stream": "ext://sys.stdout"}},
    "loggers": {"partywall.access": {"handlers": ["access"], "propagate": False}},
}

access = logging.getLogger("partywall.access")


def configure_logging() -> None:
    """Send everything that is logged to stdout as JSON."""
    logging.config.dictConfig(LOGGING)


def configure_text_logging() -> None:
    """Send everything that is logged to stdout as text."""
    logging.config.dictConfig(LOGGING | {part: LOGGING[part] | added for part, added in TEXT.items()})


def write_access(request: Mapping[str, object]) -> None:
    """Write the line of a request, in the form of the others.

    Not through `logging`, whose record, handlers and formatter are a tenth of a request. A line that cannot be
    written is lost, as there: the request has its answer.
    """
    if access.handlers:
        access.info("request", extra=request)
        return
    line = {"time": datetime.now(UTC), "level": "INFO", "logger": "partywall.access", "message": "request", **request}
    with suppress(OSError, ValueError):  # a full disk; a stream that is closed
        sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()


def cause_of(error: BaseException) -> str:
    """Return why, in one line: of an error of PostgreSQL's the SQLSTATE and the message, without its details."""
    root = error.__cause__ or error
    sentence = str(root).partition("\n")[0]
    if not sentence:
        sentence = "no response in time" if isinstance(root, TimeoutError) else type(root).__name__
    return " ".join(filter(None, (sqlstate(error), sentence)))
