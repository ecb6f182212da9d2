"""Files of the folder in Microsoft's emulator of Azure, brought there by the command."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from azure.storage.blob import BlobServiceClient
from pydantic import SecretStr

from migrate.commands.db_migrate import prepare_store
from services.media.copy_files import CopyResult, run
from services.media.settings import MediaSettings
from shared.errors import OperatorError
from shared.storage.files import LocalFiles
from tests.integration.media.conftest import MANIFEST
from tests.integration.storage.azurite import INSTALL_SECONDS, running_azurite
from tests.support.people import PNG
from tests.support.platform_database import platform_database

USER = """
INSERT INTO users (email, referral_code) VALUES ('a@example.com', 'AAAAAAAA') RETURNING id
"""
ROW = """
INSERT INTO media_metadata (id, user_id, kind, content_type, bytes, sha256, storage_key)
VALUES ($1, $2, 'upload', 'image/png', 1, $3, $4)
"""
pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 60)


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection_string:
        yield connection_string


async def test_every_file_with_a_row_is_copied_once(
    azurite: str, postgres_url: str, web_settings: Callable[..., MediaSettings], tmp_path: Path
) -> None:
    container = f"copy-{uuid.uuid4().hex[:10]}"
    images = [uuid.uuid4() for _ in range(4)]
    async with platform_database(postgres_url) as dsn:
        await prepare_store(dsn, MANIFEST, actor="tests")
        sql = await asyncpg.connect(dsn)
        user = await sql.fetchval(USER)
        for image in images:
            await sql.execute(ROW, image, user, "0" * 64, f"media/{image}")
        await sql.close()
        for image in (*images[:3], uuid.uuid4()):  # one row has no file, one file has no row
            await LocalFiles(tmp_path).put(f"media/{image}", PNG, "image/png")
        cloud = {
            "azure_storage_connection_string": SecretStr(azurite),
            "azure_storage_container": container,
        }
        settings = web_settings(dsn, media_dir=tmp_path, **cloud)
        assert await run(settings, MANIFEST) == CopyResult(copied=3, present=0, missing=1)
        assert await run(settings, MANIFEST) == CopyResult(copied=0, present=3, missing=1)
        with pytest.raises(OperatorError, match="MEDIA_DIR"):
            await run(web_settings(dsn, **{**cloud, "media_dir": None}), MANIFEST)
    with BlobServiceClient.from_connection_string(azurite) as service:
        blobs = service.get_container_client(container)
        assert {blob.name for blob in blobs.list_blobs()} == {f"media/{i}" for i in images[:3]}
        assert blobs.download_blob(f"media/{images[0]}").readall() == PNG
