"""Rewrites the condition that selects a table's moving rows; pure."""

from __future__ import annotations

from typing import Any

import pglast
from pglast import ast
from pglast.stream import RawStream

from migrate.split.model import SplitError


class RowFilterError(SplitError):
    """The condition is not one expression over the table's own columns."""

    def __init__(self, condition: str, reason: str) -> None:
        super().__init__(
            f"row filter {condition!r} {reason};"
            " write one condition over the columns of the table, such as consumer = 'chat'"
        )
        self.condition = condition


def qualify(condition: str, row: str) -> str:
    """The condition with every column looked up in `row` (`new` or `old`), for a trigger's WHEN."""
    try:
        statements = pglast.parse_sql(f"SELECT 1 WHERE {condition}")
    except pglast.parser.ParseError as error:
        raise RowFilterError(condition, f"is not SQL ({error.args[0]})") from error
    select = statements[0].stmt if len(statements) == 1 else None
    if not isinstance(select, ast.SelectStmt) or select.whereClause is None or _has_more(select):
        raise RowFilterError(condition, "is more than one condition")
    _visit(select.whereClause, condition, row)
    return str(RawStream()(select.whereClause))


def _has_more(select: ast.SelectStmt) -> bool:
    clauses = ("fromClause", "groupClause", "havingClause", "sortClause", "limitCount", "limitOffset",
               "lockingClause", "windowClause", "larg")  # fmt: skip
    return any(getattr(select, name) is not None for name in clauses)


def _visit(node: Any, condition: str, row: str) -> None:
    if isinstance(node, tuple):
        for item in node:
            _visit(item, condition, row)
    elif isinstance(node, ast.SubLink):
        raise RowFilterError(condition, "has a subquery")
    elif isinstance(node, ast.ColumnRef):
        fields = node.fields or ()
        if len(fields) != 1 or not isinstance(fields[0], ast.String):
            raise RowFilterError(condition, "names something that is not a plain column")
        node.fields = (ast.String(sval=row), *fields)
    elif isinstance(node, ast.Node):
        for name in node:
            value = getattr(node, name)
            if value is not None:
                _visit(value, condition, row)
