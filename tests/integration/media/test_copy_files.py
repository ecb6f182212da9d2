"""Files of the folder in Microsoft's emulator of Azure, brought there by the command."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from azure.storage.blob import BlobServiceClient

from migrate.commands.db_migrate import prepare_store
from shared.storage.files import LocalFiles
from tests.integration.media.conftest import MANIFEST
from tests.integration.storage.azurite import INSTALL_SECONDS, running_azurite
from tests.support.people import PNG
from tests.support.platform_database import platform_database

ROOT = Path(__file__).resolve().parents[3]
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


def copy(environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and what was written."""
    done = subprocess.run(
        [sys.executable, "-m", "services.media.copy_files"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LOG_LEVEL": "error"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


async def test_every_file_with_a_row_is_copied_once(
    azurite: str, postgres_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
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
        environment = {
            "SHARED_DATABASE_URL": dsn,
            "REDIS_URL": redis_url,
            "RABBITMQ_URL": rabbitmq_url,
            "JWT_SECRETS": "x" * 32,
            "MEDIA_DIR": str(tmp_path),
            "AZURE_STORAGE_CONNECTION_STRING": azurite,
            "AZURE_STORAGE_CONTAINER": container,
        }
        assert copy(environment) == (
            0,
            "3 files copied, 0 were there already, 1 have a row but no file\n",
        )
        assert copy(environment) == (
            0,
            "0 files copied, 3 were there already, 1 have a row but no file\n",
        )
        code, text = copy({**environment, "MEDIA_DIR": ""})
        assert code == 2
        assert "MEDIA_DIR" in text
    with BlobServiceClient.from_connection_string(azurite) as service:
        blobs = service.get_container_client(container)
        assert {blob.name for blob in blobs.list_blobs()} == {f"media/{i}" for i in images[:3]}
        assert blobs.download_blob(f"media/{images[0]}").readall() == PNG
