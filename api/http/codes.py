"""Every code that a response can have: of a problem, and of what a problem lists in `errors`.

A client decides by codes; they do not change. Sentences are for people, and may. /docs/errors shows this file, and the
OpenAPI document enumerates it.
"""

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import NamedTuple


class Meaning(NamedTuple):
    """What the code of a problem stands for."""

    status: int
    when: str
    remedy: str


# Of several with one status the first one is meant where nothing says which.
PROBLEMS: Mapping[str, Meaning] = {
    "bad_request": Meaning(400, "What was sent is not HTTP; the connection is closed.", "Fix the client."),
    "cors_refused": Meaning(
        400,
        "A page may not send this request: its origin, its method or one of its headers is not allowed.",
        "Name the origin in CORS_ORIGINS, or the header in CORS_HEADERS.",
    ),
    "invalid_token": Meaning(
        401,
        "The token is not valid, or not any more; or there are two of them.",
        "Get a new token and try once more, else have the user sign in.",
    ),
    "missing_token": Meaning(401, "There is no bearer token.", "Send the header Authorization: Bearer <token>."),
    "forbidden": Meaning(403, "The row would not be the caller's.", "Create or keep rows of your own."),
    "role_required": Meaning(
        403,
        "A member of the workspace, whose role does not include this; `role` is the least that does.",
        "Hide it; an owner can change roles.",
    ),
    "not_found": Meaning(404, "You have no such row.", "Take it off the screen."),
    "unknown_path": Meaning(404, "There is no such path.", "Fix the client; /docs lists the routes."),
    "method_not_allowed": Meaning(
        405, "The path does not have this method.", "Fix the client; Allow lists the methods that it has."
    ),
    "request_timeout": Meaning(
        408, "The headers or the body took too long; the connection is closed.", "Send it again."
    ),
    "conflict": Meaning(409, "It exists already, or refers to a row that does not exist.", "Load again, then decide."),
    "last_owner": Meaning(
        409, "A workspace keeps at least one owner.", "Make somebody else an owner first, or delete the workspace."
    ),
    "already_member": Meaning(409, "The caller is a member of that workspace already.", "Open the workspace."),
    "precondition_failed": Meaning(
        412,
        "If-Match or If-None-Match does not hold; the header ETag is the current one.",
        "Load again, then decide.",
    ),
    "body_too_large": Meaning(413, "The body is larger than 64 KiB.", "Send less."),
    "unsupported_media_type": Meaning(
        415, "The body is not JSON in UTF-8, or it is compressed.", "Send Content-Type: application/json."
    ),
    "invalid_request": Meaning(
        422, "A field, a parameter or a header is not valid, or the body is not JSON.", "Show `errors` at the fields."
    ),
    "too_many_requests": Meaning(
        429, "The user has too many requests under way.", "Send fewer at a time; try again after Retry-After."
    ),
    "too_many_attempts": Meaning(429, "The user has tried too many invitations.", "Try again after Retry-After."),
    "headers_too_large": Meaning(
        431, "The URL and the headers are too large, or there are too many; the connection is closed.", "Send less."
    ),
    "internal_error": Meaning(
        500, "A defect of the API; its log has the cause.", "Apologize, show the request_id, do not repeat."
    ),
    "unavailable": Meaning(
        503, "The API is not ready or shuts down, or the key server does not respond.", "Try again after Retry-After."
    ),
    "busy": Meaning(503, "The requests of others use every connection.", "Try again after Retry-After."),
    "database_unavailable": Meaning(503, "The database cannot be reached.", "Try again after Retry-After."),
    "database_read_only": Meaning(
        503, "The database can only be read: a failover, a freeze.", "Go on reading; try the write again later."
    ),
    "database_full": Meaning(503, "The database has no space left.", "Go on reading; try the write again later."),
    "database_out_of_memory": Meaning(503, "The database is out of memory.", "Try again after Retry-After."),
    "database_out_of_connections": Meaning(
        503, "The database accepts no more connections.", "Try again after Retry-After."
    ),
    "database_limit": Meaning(503, "The database has reached one of its limits.", "Try again after Retry-After."),
    "database_timeout": Meaning(503, "The database took too long.", "Try again, with less at a time."),
    "locked": Meaning(503, "Another transaction holds a lock on the rows.", "Try again after Retry-After."),
    "concurrent_update": Meaning(
        503, "Another request changed the same rows at the same time.", "Try again after Retry-After."
    ),
}
BY_STATUS: Mapping[int, str] = {meaning.status: code for code, meaning in reversed([*PROBLEMS.items()])}

# The names in braces are members of the error, beside its code.
ERRORS: Mapping[str, str] = {
    "missing": "This is required.",
    "unknown_field": "There is no such field.",
    "unknown_parameter": "There is no such parameter.",
    "repeated_parameter": "This may be sent once only.",
    "wrong_type": "Must be of type {expected}.",
    "not_allowed": "Must be one of: {allowed}.",
    "blank": "Must not be only white space.",
    "too_short": "Too short: the minimum length is {limit}.",
    "too_long": "Too long: the maximum length is {limit}.",
    "too_few": "Too few: the minimum is {limit}.",
    "too_many": "Too many: the maximum is {limit}.",
    "too_small": "Too small: the minimum is {limit}.",
    "too_large": "Too large: the maximum is {limit}.",
    "nul_character": "Must not contain the character NUL.",
    "not_unicode": "Must not contain half of a surrogate pair.",
    "not_a_uuid": "Must be a UUID.",
    "not_a_date": "Must be a date that exists, written as 2026-11-21.",
    "not_a_timestamp": "Must be a time that exists, with its zone, written as 2026-11-21T08:30:00Z.",
    "out_of_range": "Must be within the years 1 to 9999 in UTC.",
    "nothing_to_change": "At least one of these is needed: {fields}.",
    "repeated_id": "Each may be named once.",
    "unknown_id": "You have no row with this id.",
    "not_utf8": "Must be written in UTF-8.",
    "invalid_json": "Not JSON: {reason} at character {position}.",
    "repeated_name": "One object has the name {name} twice.",
    "too_deep": "Nested too deeply.",
    "too_many_digits": "A number has too many digits.",
    "invalid_etag": "Must be * or quoted ETags exactly as returned.",
    "no_etag": "A list has no ETag, so this cannot hold. Send it to a single row.",
    "invalid_cursor": "Must be the next_cursor of an earlier page.",
    "cursor_of_another_list": "Is of the list {of}.",
    "invalid_idempotency_key": (
        "Must be a string in quotes, or without spaces and quotes, of 1 to 255 characters of ASCII."
    ),
    "invalid_bookmark": "Must be the Partywall-Bookmark of an earlier response.",
    "idempotency_key_reused": "Was sent with another request before.",
    "invalid": "{reason}",
}


def field_error(code: str, *, detail: str = "", **more: object) -> dict[str, object]:
    """Return a member of `errors`, with its place and with what its sentence names in braces: `more`.

    A place is a `pointer` into the body, or the name of a `parameter` or of a header. `detail` is the sentence, if it
    is not the one of ERRORS.
    """
    place: dict[str, object] = {name: more.pop(name) for name in ("pointer", "parameter") if name in more}
    return {**place, "code": code, "detail": detail or ERRORS[code].format_map(_Shown(more)), **more}


class _Shown(dict[str, object]):
    """What a sentence shows of the parameters."""

    def __getitem__(self, name: str) -> object:
        value = super().__getitem__(name)
        return ", ".join(value) if isinstance(value, list | tuple) else value


def parameters(code: str) -> Sequence[str]:
    """Return the names of the members that an error with this code has beside its code."""
    return [name for _, name, _, _ in Formatter().parse(ERRORS[code]) if name]
