"""Bytes of files under their storage key, in Azure Blob Storage or a folder, behind one interface."""

from shared.storage.interface import Storage, media_key
from shared.storage.opening import StorageSettings, open_storage

__all__ = ["Storage", "StorageSettings", "media_key", "open_storage"]
