"""What is picked from a dump, how it is created gently, and when a table fits into another one."""

from __future__ import annotations

from dataclasses import replace

from migrate.split.catalogue import Column, Table
from migrate.split.names import TableName
from migrate.split.schema_copy import is_ours, misfits
from migrate.split.script import gentle, split_script
from migrate.split.toc import Round, parse_toc, select, use_list

LISTING = """;
; Selected TOC Entries:
;
3379; 1262 16388 DATABASE - t1 postgres
6; 2615 16380 SCHEMA - app postgres
843; 1247 16390 TYPE app mood postgres
;	depends on: 6
220; 1255 16395 FUNCTION public touch() postgres
215; 1259 16402 TABLE app conv postgres
;	depends on: 843 6
3380; 0 0 COMMENT app TABLE conv postgres
;	depends on: 215
218; 1259 16414 TABLE public msg postgres
216; 1259 16412 SEQUENCE public msg_id_seq postgres
;	depends on: 218
214; 1259 16396 TABLE public users postgres
219; 1259 16429 VIEW public v postgres
;	depends on: 215 215 843
3215; 2604 16417 DEFAULT public msg seq postgres
;	depends on: 217 218 218
3219; 2606 16406 CONSTRAINT app conv conv_pkey postgres
;	depends on: 215
3224; 1259 16427 INDEX public msg_seq_idx postgres
;	depends on: 218
3300; 1259 16430 INDEX public msg_identity postgres
;	depends on: 218
3228; 2620 16428 TRIGGER app conv touch postgres
;	depends on: 220 215
3226; 2606 16407 FK CONSTRAINT app conv conv_user_id_fkey postgres
;	depends on: 215 3217 214
3227; 2606 16422 FK CONSTRAINT public msg msg_cid_fkey postgres
;	depends on: 3219 218 215
3373; 3256 16433 POLICY public msg looks_at_users postgres
;	depends on: 218 214
3400; 6104 16440 PUBLICATION - everything postgres
3401; 6106 16441 PUBLICATION TABLE public everything msg postgres
;	depends on: 3400 218
"""


def test_the_listing_is_read_with_kinds_of_several_words() -> None:
    entries = parse_toc(LISTING)
    assert entries[3226].kind == "FK CONSTRAINT"
    assert entries[3226].depends == (215, 3217, 214)
    assert entries[219].depends == (215, 843)
    assert entries[3401].kind == "PUBLICATION TABLE"


def test_tables_bring_what_they_need_and_nothing_else() -> None:
    selection = select(parse_toc(LISTING), [16402, 16414], [16430])
    rounds = {number: [entry.id for entry in found] for number, found in selection.rounds.items()}
    assert rounds == {
        Round.BEFORE_COPY: [6, 843, 220, 215, 218, 216, 3215],
        Round.AFTER_COPY: [3219, 3300],
        Round.AFTER_CATCH_UP: [3380, 3224, 3228, 3227],
    }
    assert {entry.id for entry, _ in selection.cut} == {3226, 3373}
    assert "users" in {entry.id: reason for entry, reason in selection.cut}[3226]


def test_a_table_alone_is_cut_off_from_its_own_foreign_keys() -> None:
    selection = select(parse_toc(LISTING), [16414])
    assert {entry.id for entry, _ in selection.cut} == {3227, 3373}
    assert use_list(selection.entries).splitlines()[0].startswith("218;")


SCRIPT = r"""--
-- PostgreSQL database dump
--

\restrict abc

SET statement_timeout = 0;

--
-- TOC entry 220 (class 1255 OID 16395)
-- Name: touch(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.touch() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- a comment of its own
begin new.updated_at := clock_timestamp(); return new; end $$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- TOC entry 215 (class 1259 OID 16402)
-- Dependencies: 843
-- Name: conv; Type: TABLE; Schema: app; Owner: -
--

CREATE TABLE app.conv (
    id uuid NOT NULL
);


-- Completed on 2025-01-31

--
-- PostgreSQL database dump complete
--

\unrestrict abc
"""


def test_statements_are_cut_out_of_the_script_without_its_frame() -> None:
    found = split_script(SCRIPT)
    assert set(found) == {220, 215}
    assert found[220].startswith("CREATE FUNCTION")
    assert "-- a comment of its own" in found[220]
    assert found[220].endswith("end $$;")
    assert found[215].endswith(");")


def test_indexes_are_built_concurrently_and_foreign_keys_checked_afterwards() -> None:
    assert gentle("CREATE UNIQUE INDEX a ON public.t USING btree (b);") == [
        "CREATE UNIQUE INDEX CONCURRENTLY a ON public.t USING btree (b)"
    ]
    key = "ALTER TABLE ONLY public.m ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES public.t(id) ON DELETE CASCADE;"
    added, checked = gentle(key)
    assert added.endswith("NOT VALID")
    assert checked == 'ALTER TABLE "public"."m" VALIDATE CONSTRAINT "k"'
    assert gentle(key.replace(";", " NOT VALID;"))[0].count("NOT VALID") == 1


def test_an_index_of_a_partitioned_table_is_not_built_concurrently() -> None:
    statement = "CREATE INDEX a ON ONLY public.t USING btree (b)"
    assert gentle(statement) == [statement]


def test_objects_of_a_split_are_never_copied() -> None:
    assert is_ours("_split_chat.fence()")
    assert is_ours("zz_split_fence_chat on public.conversations")
    assert is_ours('on_token on "_split_chat".token')
    assert not is_ours("public.conversations")


def column(name: str, type_: str = "text", **changes: object) -> Column:
    plain = Column(name, type_, type_, "b", "S", "", "", False, False, "", "")
    return replace(plain, **changes)  # type: ignore[arg-type]


def table(*columns: Column) -> Table:
    return Table(
        1,
        TableName("public", "t"),
        "r",
        "p",
        "d",
        False,
        0,
        0,
        0,
        "me",
        False,
        False,
        ("id",),
        True,
        columns,
    )


def test_rows_fit_into_a_table_with_the_same_columns_and_more() -> None:
    ours = table(column("id"), column("a"))
    assert misfits(ours, table(column("id"), column("a"), column("b"))) == []
    assert (
        misfits(
            ours,
            table(column("a"), column("id"), column("n", not_null=True, default_expression="1")),
        )
        == []
    )


def test_rows_do_not_fit_where_a_column_is_missing_other_or_must_be_filled() -> None:
    ours = table(column("id"), column("a"))
    assert len(misfits(ours, table(column("id")))) == 1
    assert len(misfits(ours, table(column("id"), column("a", "integer")))) == 1
    assert len(misfits(ours, table(column("id"), column("a"), column("b", not_null=True)))) == 1
    assert len(misfits(ours, table(column("id"), column("a", is_generated=True)))) == 1
