"""Cuts tables into pieces that are copied or hashed by themselves; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from migrate.split.catalogue import Storage
from migrate.split.names import TableName

#: Bytes of one piece, heap and toast together: seconds of work, so that progress shows and an
#: interrupted copy repeats little, while the cost of one more transaction stays invisible.
CHUNK_BYTES = 64 * 1024 * 1024
#: Pages of the smallest piece; below it a table is one piece.
MIN_PAGES = 256
BLOCK_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Chunk:
    """Pages `first_page` to `end_page` (exclusive; None: to the end) of one heap."""

    root: int
    storage: TableName
    storage_oid: int
    filenode: int
    first_page: int
    end_page: int | None
    estimated_bytes: int
    estimated_rows: int

    @property
    def condition(self) -> str:
        """SQL over ctid; TID range scans read just these pages."""
        start = f"ctid >= '({self.first_page},0)'::tid"
        if self.end_page is None:
            return start
        return f"{start} AND ctid < '({self.end_page},0)'::tid"


def plan_chunks(storages: Iterable[Storage], chunk_bytes: int = CHUNK_BYTES) -> tuple[Chunk, ...]:
    """Pieces of every heap, the largest first: the long ones must not start last.

    The last piece of a heap has no end, so that rows beyond the pages counted now are included.
    """
    chunks = [chunk for storage in storages for chunk in _cut(storage, chunk_bytes)]
    return tuple(
        sorted(
            chunks,
            key=lambda chunk: (-chunk.estimated_bytes, chunk.storage, chunk.first_page),
        )
    )


def _cut(storage: Storage, chunk_bytes: int) -> Iterable[Chunk]:
    total = storage.heap_bytes + storage.toast_bytes
    bytes_per_page = total / storage.pages if storage.pages else BLOCK_BYTES
    size = max(MIN_PAGES, int(chunk_bytes / bytes_per_page))
    starts = range(0, max(storage.pages, 1), size)
    for start in starts:
        end = start + size
        is_last = end >= storage.pages
        share = (min(end, storage.pages) - start) / storage.pages if storage.pages else 1.0
        yield Chunk(
            root=storage.root,
            storage=storage.name,
            storage_oid=storage.oid,
            filenode=storage.filenode,
            first_page=start,
            end_page=None if is_last else end,
            estimated_bytes=int(total * share),
            estimated_rows=int(storage.estimated_rows * share),
        )
