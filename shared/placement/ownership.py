"""Which tables a statement reads and writes, and whether its service may; pure, runs no SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pglast
from pglast import ast
from pglast.visitors import Visitor

#: Statements that change one target table: node type, and the field that names it.
WRITING = {
    ast.InsertStmt: "relation",
    ast.UpdateStmt: "relation",
    ast.DeleteStmt: "relation",
    ast.MergeStmt: "relation",
}
#: Statements without tables of their own that any service may run.
HARMLESS = (
    ast.TransactionStmt,
    ast.VariableShowStmt,
    ast.NotifyStmt,
    ast.DeallocateStmt,
    ast.DiscardStmt,
    ast.ClosePortalStmt,
    ast.FetchStmt,
    ast.CallStmt,
)
CURSOR_OPT_HOLD = 0x0020  # nodes/parsenodes.h of PostgreSQL
#: Statements that may leave something behind in the session; `session_state` says whether they do.
LEAVING_STATE = (ast.VariableSetStmt, ast.ListenStmt, ast.UnlistenStmt)
#: Functions whose locks outlive the transaction: the next user of a pooled connection would hold them.
SESSION_LOCKS = frozenset(
    f"pg_{attempt}advisory_lock{kind}" for attempt in ("", "try_") for kind in ("", "_shared")
)
#: Schemas that every role may read.
CATALOGUES = frozenset({"pg_catalog", "information_schema"})


@dataclass(frozen=True, slots=True)
class TableGrants:
    """Tables that a service may write (and read), and tables that it may only read.

    Names without a schema mean `public`; others carry theirs, such as `strangler.webhook_owners`.
    """

    writes: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()

    @classmethod
    def of(cls, writes: Iterable[str], reads: Iterable[str] = ()) -> TableGrants:
        return cls(frozenset(writes), frozenset(reads))


@dataclass(frozen=True, slots=True)
class TableUse:
    """Tables that one piece of SQL reads and writes; `refused` names statements of other kinds."""

    reads: frozenset[str]
    writes: frozenset[str]
    refused: tuple[str, ...] = ()


def violations(sql: str, grants: TableGrants) -> tuple[str, ...]:
    """What `sql` does that `grants` does not allow, one sentence each; empty when all is well.

    SQL that PostgreSQL's own parser cannot read is one violation: nothing unknown gets through.
    """
    try:
        use = table_use(sql)
    except pglast.parser.ParseError as error:
        return (f"the statement cannot be parsed ({error.args[0]})",)
    found = [f"writes {table}" for table in sorted(use.writes - grants.writes)]
    readable = grants.reads | grants.writes
    found += [f"reads {table}" for table in sorted(use.reads - readable - use.writes)]
    found += [f"runs {kind}" for kind in use.refused]
    return tuple(found)


@lru_cache(maxsize=4096)  # statements are constants of the code; the bound is for generated ones
def table_use(sql: str) -> TableUse:
    """Tables that `sql` (one or more statements) reads and writes; raises pglast's ParseError."""
    reads: set[str] = set()
    writes: set[str] = set()
    refused: list[str] = []
    for raw in pglast.parse_sql(sql):
        _collect(raw.stmt, reads, writes, refused)
    return TableUse(frozenset(reads), frozenset(writes), tuple(refused))


def _collect(statement: Any, reads: set[str], writes: set[str], refused: list[str]) -> None:
    refused.extend(session_state(statement))
    if isinstance(statement, HARMLESS + LEAVING_STATE):
        return
    if isinstance(statement, ast.ExplainStmt | ast.DeclareCursorStmt | ast.PrepareStmt):
        _collect(statement.query, reads, writes, refused)
    elif isinstance(statement, ast.CopyStmt):
        if statement.query is not None:
            _collect(statement.query, reads, writes, refused)
        else:
            (writes if statement.is_from else reads).add(_name(statement.relation))
    elif isinstance(statement, ast.TruncateStmt | ast.LockStmt):
        writes.update(_name(relation) for relation in statement.relations or ())
    elif isinstance(
        statement, ast.SelectStmt | ast.InsertStmt | ast.UpdateStmt | ast.DeleteStmt | ast.MergeStmt
    ):
        _collect_query(statement, frozenset(), reads, writes)
    else:
        refused.append(type(statement).__name__.removesuffix("Stmt").upper())


def session_state(statement: Any) -> Iterator[str]:
    """What a statement leaves behind in its session after the transaction, in words.

    Pools hand connections on as they are, so whatever stays would be the next user's.
    """
    match statement:
        case ast.VariableSetStmt(is_local=False) if statement.name != "TRANSACTION":
            yield "SET for the session; use SET LOCAL"
        case ast.ListenStmt() | ast.UnlistenStmt():
            yield "LISTEN on a pooled connection"
        case ast.DeclareCursorStmt() if (statement.options or 0) & CURSOR_OPT_HOLD:
            yield "a cursor WITH HOLD"
    calls = _Calls()
    calls(statement)
    for call in calls.found:
        name = call.funcname[-1].sval
        if name in SESSION_LOCKS:
            yield f"{name} for the session; use pg_advisory_xact_lock"
        elif name == "set_config" and not _is_true(call.args[-1]):
            yield "set_config for the session; let its last argument be true"


def _is_true(argument: Any) -> bool:
    return isinstance(argument, ast.A_Const) and getattr(argument.val, "boolval", None) is True


class _Calls(Visitor):
    """Collects the function calls of a statement."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Any] = []

    def visit_FuncCall(self, _ancestors: Any, node: Any) -> None:  # noqa: N802 - pglast's name
        self.found.append(node)


def _collect_query(node: Any, hidden: frozenset[str], reads: set[str], writes: set[str]) -> None:
    """Walk one statement; `hidden` holds names of common table expressions in scope."""
    clause = getattr(node, "withClause", None)
    if clause is not None:
        names = frozenset(cte.ctename for cte in clause.ctes or ())
        inner = hidden | names if clause.recursive else hidden
        for cte in clause.ctes or ():
            _collect_query(cte.ctequery, inner, reads, writes)
            inner |= {cte.ctename}
        hidden |= names
    target = WRITING.get(type(node))
    for field in node:
        value = getattr(node, field)
        if field in ("withClause", "lockingClause") or value is None:
            continue
        if field == target:
            writes.add(_name(value))
            continue
        for found in _relations(value, hidden, reads, writes):
            reads.add(found)
    if isinstance(node, ast.SelectStmt) and node.lockingClause:
        _collect_locks(node, hidden, writes)


def _relations(
    value: Any, hidden: frozenset[str], reads: set[str], writes: set[str]
) -> Iterator[str]:
    if isinstance(value, tuple):
        for item in value:
            yield from _relations(item, hidden, reads, writes)
    elif isinstance(value, ast.RangeVar):
        if value.schemaname is None and value.relname in hidden:
            return
        if value.schemaname not in CATALOGUES and not (
            value.schemaname is None and (value.relname or "").startswith("pg_")
        ):
            yield _name(value)
    elif isinstance(value, ast.SelectStmt):
        _collect_query(value, hidden, reads, writes)
    elif isinstance(value, ast.Node):
        for field in value:
            child = getattr(value, field)
            if child is not None:
                yield from _relations(child, hidden, reads, writes)


def _collect_locks(node: Any, hidden: frozenset[str], writes: set[str]) -> None:
    """SELECT … FOR UPDATE needs the same right as an update of the rows that it locks."""
    named = {
        relation.relname for clause in node.lockingClause for relation in clause.lockedRels or ()
    }
    for source in node.fromClause or ():
        for table in _tables_of(source):
            alias = table.alias.aliasname if table.alias is not None else table.relname
            if table.relname not in hidden and (not named or alias in named):
                writes.add(_name(table))


def _tables_of(source: Any) -> Iterator[Any]:
    if isinstance(source, ast.RangeVar):
        yield source
    elif isinstance(source, ast.JoinExpr):
        yield from _tables_of(source.larg)
        yield from _tables_of(source.rarg)


def _name(relation: Any) -> str:
    schema = relation.schemaname
    return relation.relname if schema in (None, "public") else f"{schema}.{relation.relname}"
