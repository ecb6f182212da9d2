"""The store as a container of Azure Blob Storage; the only module that knows Azure's SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient, LinearRetry

from shared.errors import provider_failed, provider_timed_out
from shared.storage.interface import check_key

T = TypeVar("T")

#: For one call with its retries: the largest file has 25 MiB, and requests end after 10 s.
CALL_SECONDS = 9.0
CONNECT_SECONDS = 3
RETRIES = 2
#: Before each of them, in seconds; the SDK's own pauses (15 s and more) outlast a request.
RETRY_PAUSE_SECONDS = 1


class AzureBlobs:
    """One container; it is made by the first write if it does not exist."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        async def upload() -> None:
            await self._blob(key).upload_blob(
                content,
                overwrite=True,
                content_settings=ContentSettings(content_type=content_type),
            )

        async def upload_with_container() -> None:
            try:
                await upload()
            except ResourceNotFoundError:
                await self._create_container()
                await upload()

        await self._call(upload_with_container)

    async def get(self, key: str) -> bytes | None:
        async def download() -> bytes | None:
            try:
                found = await self._blob(key).download_blob()
                return await found.readall()
            except ResourceNotFoundError:
                return None

        return await self._call(download)

    async def has(self, key: str) -> bool:
        return await self._call(self._blob(key).exists)

    async def delete(self, key: str) -> None:
        async def remove() -> None:
            try:
                await self._blob(key).delete_blob()
            except ResourceNotFoundError:
                return

        await self._call(remove)

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(check_key(key))

    async def _create_container(self) -> None:
        try:
            await self._container.create_container()
        except ResourceExistsError:
            return  # another process was first

    async def _call(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await work()
        except TimeoutError as error:
            raise provider_timed_out(
                "Azure Blob Storage did not answer in time", "storage"
            ) from error
        except AzureError as error:
            raise provider_failed(
                f"Azure Blob Storage refused or failed ({type(error).__name__});"
                " check AZURE_STORAGE_CONNECTION_STRING",
                "storage",
            ) from error


@asynccontextmanager
async def open_azure(connection_string: str, container: str) -> AsyncIterator[AzureBlobs]:
    """The container while the block runs; connects with the first call.

    Raises ValueError for a connection string that is none.
    """
    async with BlobServiceClient.from_connection_string(
        connection_string,
        retry_policy=LinearRetry(
            backoff=RETRY_PAUSE_SECONDS, retry_total=RETRIES, random_jitter_range=0
        ),
        connection_timeout=CONNECT_SECONDS,
        read_timeout=CALL_SECONDS,
    ) as service:
        yield AzureBlobs(service.get_container_client(container))
