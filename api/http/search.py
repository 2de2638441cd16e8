"""Searching in a text without regard to case, by the same rule on every database.

`lower()` and `ilike` know the letters of the database's locale: with the locale C, only those of ASCII. So a search is
a regular expression that has every form of each letter.
"""

import re
from collections import defaultdict

_LAST_WITH_CASE = 0x1E943

_FORMS: defaultdict[str, str] = defaultdict(str)  # by what Unicode folds them to: "K", and the sign for kelvin, by "k"
for _character in map(chr, range(_LAST_WITH_CASE + 1)):
    if _character != (_folded := _character.casefold()):
        _FORMS[_folded] += _character


def in_any_case(text: str) -> str:
    """Return the regular expression of PostgreSQL for texts that contain `text`, in upper or lower case.

    Two characters match if Unicode folds the case of both to the same: "é" and "É", "ς" and "Σ", "ß" and "ẞ". Others
    do not, such as "ß" and "ss", "i" and "İ", "e" and "é".
    """
    return "".join(map(_forms, text))


def _forms(character: str) -> str:
    folded = character.casefold()
    others = _FORMS.get(folded, "")
    forms = folded + others if len(folded) == 1 else others  # "ß" is folded to "ss", which is not one letter
    return f"[{forms}]" if others else re.escape(character)
