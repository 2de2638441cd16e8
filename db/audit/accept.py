"""How a finding is accepted: by a line in schema/accepted.sql, which is reviewed and committed like code.

On a Citus cluster it is a line in schema/accepted_on_citus.sql, and accepted on clusters only.
"""

import re
from pathlib import Path

from db.audit import Finding

FILE = Path(__file__).parent / "schema/accepted.sql"
FILE_ON_CITUS = FILE.with_name("accepted_on_citus.sql")
_ENTRY = re.compile(r"    \(\n        '((?:[^']|'')*)',\n(?:        .*\n)+?    \)")


def accept(finding: Finding, reason: str, file: Path) -> None:
    """Write that `finding` is accepted for `reason`, as it is now, in the place of what was accepted under its key.

    Raises OSError when the file cannot be written.
    """
    text = file.read_text()
    values = (finding.key, finding.fingerprint, " ".join(reason.split()))
    lines = ",\n".join("        '" + value.replace("'", "''") + "'" for value in values)
    entries = {match[1]: match[0] for match in _ENTRY.finditer(text)}
    before = ",\n".join(entries.values())
    entries[finding.key.replace("'", "''")] = f"    (\n{lines}\n    )"
    file.write_text(text.replace(before, ",\n".join(entries.values())))
