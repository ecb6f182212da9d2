"""Takes the script of pg_restore apart, and its statements' long locks away; pure."""

from __future__ import annotations

import re

import pglast
from pglast import ast

_HEADER = re.compile(r"^-- TOC entry (\d+) ", re.MULTILINE)
#: What pg_restore prints between entries: settings of the session, and its own frame.
_BETWEEN = re.compile(
    r"^(SET \w+ = [^;]*;|--.*|\\(un)?restrict .*|)$",
)


def split_script(script: str) -> dict[int, str]:
    """Statements by entry id from pg_restore's verbose script, without headers and settings."""
    found: dict[int, str] = {}
    marks = list(_HEADER.finditer(script))
    for index, mark in enumerate(marks):
        end = marks[index + 1].start() if index + 1 < len(marks) else len(script)
        lines = script[mark.end() : end].splitlines()[1:]
        while lines and (not lines[0] or lines[0].startswith("--")):
            lines.pop(0)
        while lines and _BETWEEN.match(lines[-1]):
            lines.pop()
        if lines:
            found[int(mark[1])] = "\n".join(lines)
    return found


def gentle(statements: str) -> list[str]:
    """The same effect without long locks: indexes concurrently, foreign keys checked afterwards."""
    result: list[str] = []
    for statement in pglast.split(statements):
        node = pglast.parse_sql(statement)[0].stmt
        if isinstance(node, ast.IndexStmt) and node.relation is not None and node.relation.inh:
            result.append(re.sub(r"\bINDEX\b", "INDEX CONCURRENTLY", statement, count=1))
        elif (key := _foreign_key(node)) is not None:
            table, name, is_valid = key
            result.append(statement if not is_valid else f"{statement} NOT VALID")
            if is_valid:
                result.append(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        else:
            result.append(statement)
    return result


def _foreign_key(node: object) -> tuple[str, str, bool] | None:
    """(table, constraint, is checked at once) if the statement adds one foreign key."""
    if not isinstance(node, ast.AlterTableStmt) or not node.cmds or len(node.cmds) != 1:
        return None
    definition = getattr(node.cmds[0], "def_", None)
    if not isinstance(definition, ast.Constraint) or definition.pktable is None:
        return None
    relation = node.relation
    if relation is None:
        return None
    table = ".".join(
        f'"{part}"' for part in (relation.schemaname, relation.relname) if part is not None
    )
    return table, f'"{definition.conname}"', not definition.skip_validation
