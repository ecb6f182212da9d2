"""Who made something: the Author object, read with the row; people who left are nobody."""

from __future__ import annotations

from monolith.community.story_models import Author
from monolith.context import Context
from monolith.database import Row

DELETED_NAME = "Deleted user"
# Columns and joins for a table with the given alias and author column.
COLUMNS = "u.id AS author_id, p.name AS author_name, p.avatar_media_id AS author_avatar"


def joins(column: str) -> str:
    return (
        f" LEFT JOIN users u ON u.id = {column} AND u.deleted_at IS NULL"
        " LEFT JOIN user_profiles p ON p.user_id = u.id"
    )


def author_of(context: Context, row: Row) -> Author:
    if row["author_id"] is None:
        return Author(user_id=None, name=DELETED_NAME, avatar_url=None)
    return Author(
        user_id=row["author_id"],
        name=row["author_name"],
        avatar_url=context.image_url(row["author_avatar"]),
    )
