"""Values for the columns of a row that `--prove` makes up: guesses, of which a type and a CHECK accept one or none."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain

# In the order in which they are tried: by the type, by its category, and of any other type.
# https://www.postgresql.org/docs/18/catalog-pg-type.html#CATALOG-TYPCATEGORY-TABLE
UUID, ANOTHER_UUID = "5eed0000-0000-4000-8000-000000000001", "5eed0000-0000-4000-8000-000000000002"
_JSON = ("{}", "[]", "1", '"1"')
_BY_TYPE = {"uuid": (UUID,), "json": _JSON, "jsonb": _JSON, "bytea": ("",)}
_BY_CATEGORY = {
    "A": ("{}", "{1}"),
    "B": ("false", "true"),
    "D": ("now", "tomorrow", "infinity"),
    "I": ("127.0.0.1",),
    "N": ("1", "0", "-1"),
    "R": ("empty", "{}", "[1,2)", "[2000-01-01,2000-01-02)", "{[1,2)}", "{[2000-01-01,2000-01-02)}"),
    "S": ("1",),
    "T": ("0",),
}
_OTHERS = ("1", "(0,0)", "0/0", "{}", "now", "08:00:2b:01:02:03", "<a/>", UUID)
_MOST_COPIES = 2000

# A regular expression's atom and its quantifier; a group without a group in it, its first branch and its quantifier.
_ATOM = re.compile(r"(\[\^?\]?(?:\\.|[^\]])*\]|\\.|[^*+?{}])(?:([*+?])|\{(\d+)(,\d*)?\})?")
_GROUP = re.compile(r"\((?:\?:)?((?:\\.|[^()|\\])*)(?:\|[^()]*)?\)(?:[*+?]|\{(\d+)[^}]*\})?")
_CHARACTERS = "a1A-_ .,:;/@#+"
_CLASSES = {"alnum": "a-z0-9", "alpha": "a-z", "digit": "0-9", "lower": "a-z", "upper": "A-Z", "space": " "}


def guesses(type_: str, category: str, labels: Sequence[str], literals: Sequence[str]) -> list[str]:
    """Return values of which a column may accept one: labels of an enum, what its CHECKs mention."""
    sized = re.search(r"\((\d+)\)$", type_)  # vector(3), bit(8)
    found = chain(
        labels,
        _BY_TYPE.get(type_, _BY_CATEGORY.get(category, _OTHERS)),
        _of_size(sized[1]) if sized else (),
        chain.from_iterable(map(_from_literal, literals)),
        [json.dumps(dict.fromkeys(literals, 1))] if type_ in ("json", "jsonb") else (),
    )
    return list(dict.fromkeys(found))


def _from_literal(literal: str) -> Iterator[str]:
    """Yield what a CHECK may want that has this literal: the value, its length, its neighbour, a pattern's match."""
    yield literal
    if literal.isdecimal():
        yield from (str(int(literal) + 1), str(int(literal) - 1))
        yield from _of_size(literal)
    else:
        yield literal.replace("%", "1").replace("_", "1")
        yield from (matching(literal, least) for least in (1, 4, 12))


def _of_size(size: str) -> Iterator[str]:
    ones = ["1"] * min(int(size), _MOST_COPIES)
    yield "".join(ones)
    yield f"{{{','.join(ones)}}}"
    yield f"[{','.join(ones)}]"


def matching(pattern: str, least: int) -> str:
    """Return a text that a simple regular expression may match, with `least` repetitions where more are allowed."""
    pattern = re.sub(r"\[:(\w+):\]", lambda name: _CLASSES.get(name[1], ""), pattern)
    groups = 1
    while groups:
        pattern, groups = _GROUP.subn(lambda group: group[1] * max(1, int(group[2] or 1)), pattern)
    return "".join(
        _character(atom) * (max(int(number or 1), least) if sign in ("*", "+") or more == "," else int(number or 1))
        for atom, sign, number, more in _ATOM.findall(pattern.partition("|")[0])
        if atom not in ("^", "$")
    )


def _character(atom: str) -> str:
    try:
        return next((each for each in _CHARACTERS if re.fullmatch(atom, each)), atom[-1])
    except re.error:
        return atom[-1]
