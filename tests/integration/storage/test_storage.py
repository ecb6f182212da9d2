"""One behaviour of all stores: a folder, Azure Blob Storage by Microsoft's emulator, both at once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient
from pydantic import SecretStr

from shared.errors import Code, PeerError
from shared.storage import Storage, StorageSettings, media_key, open_storage
from tests.integration.storage.azurite import INSTALL_SECONDS, running_azurite
from tests.support.served_app import free_port

Open = Callable[..., AbstractAsyncContextManager[Storage]]
pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 60)


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection_string:
        yield connection_string


@pytest.fixture
def container() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def settings(**values: Any) -> StorageSettings:
    return StorageSettings(
        shared_database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"),
        redis_url=SecretStr("redis://127.0.0.1:1"),
        rabbitmq_url=SecretStr("amqp://127.0.0.1:1"),
        jwt_secrets=(SecretStr("x" * 32),),
        **values,
    )


@pytest.fixture
def cloud(azurite: str, container: str) -> dict[str, Any]:
    return {
        "azure_storage_connection_string": SecretStr(azurite),
        "azure_storage_container": container,
    }


@pytest.fixture(params=["folder", "azure", "both"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    values: dict[str, Any] = {} if request.param == "azure" else {"media_dir": tmp_path / "files"}
    if request.param != "folder":
        values |= request.getfixturevalue("cloud")
    async with open_storage(settings(**values)) as opened:
        yield opened


async def test_what_was_put_is_got_until_it_is_deleted(storage: Storage) -> None:
    key, other = media_key(uuid.uuid4()), media_key(uuid.uuid4())
    assert (await storage.get(key), await storage.has(key)) == (None, False)
    await storage.put(key, b"first", "image/png")
    await storage.put(other, b"other", "image/png")
    await storage.put(key, b"second", "image/webp")
    assert (await storage.get(key), await storage.has(key)) == (b"second", True)
    await storage.delete(key)
    await storage.delete(key)
    assert (await storage.get(key), await storage.get(other)) == (None, b"other")


async def test_many_files_are_written_at_once_into_a_store_that_is_new(storage: Storage) -> None:
    keys = [media_key(uuid.uuid4()) for _ in range(12)]
    await asyncio.gather(*(storage.put(key, key.encode() * 50, "image/png") for key in keys))
    assert await asyncio.gather(*map(storage.get, keys)) == [key.encode() * 50 for key in keys]


@pytest.mark.parametrize("key", ["../x", "/etc/x", "media/../x", "media//x", "", "Media/x", "a.b"])
async def test_a_key_never_leaves_the_store(storage: Storage, key: str) -> None:
    with pytest.raises(ValueError, match="storage key"):
        await storage.put(key, b"x", "image/png")
    with pytest.raises(ValueError, match="storage key"):
        await storage.get(key)


async def test_blobs_carry_their_type(
    cloud: dict[str, Any], azurite: str, container: str, tmp_path: Path
) -> None:
    key = media_key(uuid.uuid4())
    async with open_storage(settings(**cloud)) as blobs:
        await blobs.put(key, b"x", "image/webp")
    with BlobServiceClient.from_connection_string(azurite) as service:
        found = service.get_blob_client(container, key).get_blob_properties()
    assert found.content_settings.content_type == "image/webp"


async def test_both_stores_hold_what_is_put_and_files_of_the_old_one_are_found(
    cloud: dict[str, Any], tmp_path: Path
) -> None:
    early, late = media_key(uuid.uuid4()), media_key(uuid.uuid4())
    async with (
        open_storage(settings(media_dir=tmp_path)) as folder,
        open_storage(settings(**cloud)) as blobs,
        open_storage(settings(media_dir=tmp_path, **cloud)) as both,
    ):
        await folder.put(early, b"early", "image/png")
        await both.put(late, b"late", "image/png")
        assert await both.get(early) == b"early"
        assert (await folder.get(late), await blobs.get(late)) == (b"late", b"late")
        await both.delete(late)
        assert (await folder.get(late), await blobs.get(late)) == (None, None)


async def test_a_store_that_fails_is_a_failed_provider_and_leaves_no_half(tmp_path: Path) -> None:
    key = media_key(uuid.uuid4())
    account = "AccountName=x;AccountKey=eA==;DefaultEndpointsProtocol=http"
    nobody = f"{account};BlobEndpoint=http://127.0.0.1:{free_port()}/x;"
    absent = {"azure_storage_connection_string": SecretStr(nobody)}
    async with open_storage(settings(media_dir=tmp_path, **absent)) as both:
        with pytest.raises(PeerError) as caught:
            await both.put(key, b"x", "image/png")
    assert (caught.value.code, caught.value.details) == (
        Code.PROVIDER_ERROR,
        {"provider_kind": "storage"},
    )
    assert "eA==" not in caught.value.message
    assert list((tmp_path / "media").iterdir()) == []


async def test_a_folder_that_is_a_file_is_a_failed_provider(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    async with open_storage(settings(media_dir=tmp_path / "taken")) as files:
        for call in (files.put("media/x", b"x", "image/png"), files.delete("media/x")):
            with pytest.raises(PeerError) as caught:
                await call
            assert caught.value.code is Code.PROVIDER_ERROR
