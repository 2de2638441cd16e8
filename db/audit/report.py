"""The findings as text for people, as JSON for programs, as SARIF for code scanning."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from db.audit import CHECKS, Finding
from db.audit.attempts import REFUSED_BY_CITUS, Attempt
from db.audit.workspaces import RELATIONS

_SARIF_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_VERDICTS = {True: "ok", False: "FAILED", None: "?"}
# Findings of --prove, which have no file of their own.
_PROOF = {
    "prove": "A statement affected a row that it must not reach (error), or not one that it should (warning).",
    "prove_left": "A workspace that --prove made on a Citus cluster and could not delete.",
    "prove_seed": "A tenant table into which --prove could not insert a row.",
    "prove_untried": "A statement that --prove could not try.",
}
_LEGEND = (
    "ALLOWED! and BLOCKED! are not what the release declares: see the findings. ?: could not be tried. -: not tried."
)


def as_text(findings: Sequence[Finding], attempts: Sequence[Attempt]) -> str:
    """Return the attempts, the matrix of workspaces and the findings as tables, and a line with their numbers."""
    cells = [each for each in attempts if each.role]
    lines = [*_lines([each for each in attempts if not each.role], {each.table for each in cells})]
    tried = [("", "TABLE", "ATTEMPT", "OUTCOME"), *lines] if lines else []
    found = [("LEVEL", "CHECK", "OBJECT", "DETAIL")] * bool(findings)
    remediation = ""
    for each in findings:
        found += [(each.level, each.name, each.object, each.detail)]
        if each.remediation != remediation:
            found += [("", "", "", remediation := each.remediation)]
    parts = (_table(tried), _matrix(cells), _table(found), _summary(findings, len(lines)))
    return "\n\n".join(part for part in parts if part)


def _lines(attempts: Sequence[Attempt], in_matrix: Collection[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield a line for each attempt; for a table of the matrix one for all that were blocked."""
    blocked = Counter(each.table for each in attempts if each.blocked and each.table in in_matrix)
    for each in attempts:
        if not (each.blocked and each.table in in_matrix):
            yield _VERDICTS[each.blocked], each.table, each.attempt, each.outcome
        elif count := blocked.pop(each.table, 0):
            yield "ok", each.table, "as another tenant", f"{count} attempts were blocked; for its members see below"


def _matrix(cells: Sequence[Attempt]) -> str:
    """Return a line for each attempt in a workspace, with a column for each relation to it, and what these are."""
    if not cells:
        return ""
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for each in cells:
        lines.setdefault((each.table, each.attempt), {})[str(each.role)] = _cell(each)
    names = [relation.upper().split(" ", 1) for relation in RELATIONS]
    heads = [
        ("", "", *(name[0] if name[1:] else "" for name in names)),
        ("TABLE", "ATTEMPT", *(name[-1] for name in names)),
    ]
    table = [(*line, *(row.get(relation, "-") for relation in RELATIONS)) for line, row in lines.items()]
    refused = f" refused: {REFUSED_BY_CITUS}." if any("refused" in line for line in table) else ""
    return "\n\n".join((_table([*heads, *table]), _table([*RELATIONS.items()]), _LEGEND + refused))


def _cell(attempt: Attempt) -> str:
    """Return what came of an attempt, and mark it if that is not expected."""
    if attempt.blocked is None:
        return "?"
    if attempt.outcome.startswith(REFUSED_BY_CITUS):
        return "refused"
    outcome = "blocked" if attempt.blocked else "allowed"
    return outcome if attempt.is_as_expected else f"{outcome.upper()}!"


def as_json(findings: Sequence[Finding], attempts: Sequence[Attempt]) -> str:
    """Return an object with `findings` and `attempts`, the matrix of workspaces among them: these have a role."""
    document = {"findings": [each._asdict() for each in findings], "attempts": [each._asdict() for each in attempts]}
    return json.dumps(document, indent=2)


def as_sarif(findings: Sequence[Finding], _attempts: Sequence[Attempt]) -> str:
    """Return SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html).

    Code scanning wants a file and a line. A finding is about an object of the database, so it points at the check.
    """
    rules = {name: _reason(query) for name, query in CHECKS.items()} | _PROOF
    run = {
        "tool": {
            "driver": {
                "name": "partywall audit",
                "rules": [{"id": name, "fullDescription": {"text": reason}} for name, reason in rules.items()],
            }
        },
        "results": [_result(finding) for finding in findings],
    }
    schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _summary(findings: Sequence[Finding], attempts: int) -> str:
    performed = f"{len(CHECKS)} checks" + (f", {attempts} attempts" if attempts else "")
    levels = Counter(finding.level for finding in findings)
    counts = ", ".join(f"{count} {level}{'s' * (count > 1)}" for level, count in levels.items())
    return f"{performed}: {counts or 'no findings'}"


def _result(finding: Finding) -> dict[str, object]:
    file = "db/audit/prove.py" if finding.name in _PROOF else f"db/audit/{finding.name}.sql"
    return {
        "ruleId": finding.name,
        "level": _SARIF_LEVELS[finding.level],
        "message": {"text": f"{finding.object}: {finding.detail}\n\n{finding.remediation}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": file}, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": finding.object}],
            }
        ],
        "partialFingerprints": {"key/v1": finding.key},
    }


def _reason(query: str) -> str:
    """Return the comment that a check starts with."""
    lines = (line.removeprefix("--").strip() for line in query.splitlines() if line.startswith("--"))
    return " ".join(lines)
