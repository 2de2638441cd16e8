"""Logging: one JSON object per line on stdout; text for a person who develops."""

import logging
import logging.config
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

from api.observability.causes import traceback_of
from api.observability.lines import write_line

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "api.observability.logs.JsonFormatter",
            "fmt": "%(levelname)s %(name)s %(message)s",
            "rename_fields": {"levelname": "level", "name": "logger"},
            "timestamp": "time",
            "reserved_attrs": [*RESERVED_ATTRS, "color_message"],  # Uvicorn's message once more, for terminals
        }
    },
    "handlers": {"stdout": {"class": "api.observability.lines.LineHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        # Uvicorn brings handlers of its own; its access line would be a second one per request.
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.access": {"handlers": [], "propagate": False},
        # Each request of ours to the key server, and each of its failures, is ours to tell.
        "httpx2": {"level": "WARNING"},
        # What a request has in `tracestate` and `baggage`, if it is not valid.
        "opentelemetry.trace": {"level": "ERROR"},
        "opentelemetry.baggage": {"level": "ERROR"},
    },
}


# Over LOGGING, for `partywall dev`.
TEXT: dict[str, dict[str, Any]] = {
    "formatters": {
        "json": {"()": "api.observability.text.TextFormatter"},
        "access": {"()": "api.observability.text.AccessFormatter"},
    },
    "handlers": {"access": {"class": "api.observability.lines.LineHandler", "formatter": "access"}},
    "loggers": {"partywall.access": {"handlers": ["access"], "propagate": False}},
}

access = logging.getLogger("partywall.access")


def configure_logging() -> None:
    """Send everything that is logged to stdout as JSON."""
    logging.config.dictConfig(LOGGING)


def configure_text_logging() -> None:
    """Send everything that is logged to stdout as text."""
    logging.config.dictConfig(LOGGING | {part: LOGGING[part] | added for part, added in TEXT.items()})


class JsonFormatter(OrjsonFormatter):
    """One line of JSON for each record; with an exception also its traceback, without values."""

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - logging's name, and its triple
        """Return the traceback."""
        return traceback_of(ei[1])

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Leave out what asyncio says beside an exception: the arguments of a callback, the result of a future."""
        if "exc_info" in log_data:
            log_data["message"] = log_data["message"].partition("\n")[0].partition("(")[0]
        return log_data


def write_access(request: Mapping[str, object]) -> None:
    """Write the line of a request, in the form of the others.

    Not through `logging`, whose record, handlers and formatter are a tenth of a request.
    """
    if access.handlers:
        access.info("request", extra=request)
        return
    line = {"time": datetime.now(UTC), "level": "INFO", "logger": "partywall.access", "message": "request", **request}
    write_line(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
