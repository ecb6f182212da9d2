"""`migrate init`: a first manifest from a document that describes the old API."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
import yaml

from migrate.commands.dokku import say
from migrate.skeleton.found import FoundRoute, UnreadableSourceError
from migrate.skeleton.kong import read_kong
from migrate.skeleton.nginx import read_nginx
from migrate.skeleton.openapi import read_openapi
from migrate.skeleton.write import write_manifest
from shared.manifest import parse_manifest

#: Longest wait for a document on the network, in seconds.
FETCH_SECONDS = 30.0


def init(
    openapi: Annotated[
        str | None, typer.Option("--openapi", help="OpenAPI document: a file or an address.")
    ] = None,
    kong: Annotated[Path | None, typer.Option("--kong", help="Kong declarative file.")] = None,
    nginx: Annotated[Path | None, typer.Option("--nginx", help="nginx configuration.")] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the project.")] = "project",
    public_host: Annotated[
        str, typer.Option("--public-host", help="The host that clients call.")
    ] = "api.example.com",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a manifest that loads, with every route of the old API, grouped by prefix."""
    given = [source for source in (openapi, kong, nginx) if source is not None]
    if len(given) != 1:
        raise UnreadableSourceError("give one of --openapi, --kong, --nginx")
    source = str(given[0])
    text = write_manifest(_read(openapi, kong, nginx), name=name, host=public_host, source=source)
    parse_manifest(text, source)  # what is written loads
    if output is None:
        sys.stdout.write(text)
        return
    if output.exists() and not force:
        raise UnreadableSourceError(f"{output} is there already; say --force to overwrite it")
    output.write_text(text, encoding="utf-8")
    say(f"written to {output}; look at it with: migrate --manifest {output} status")


def _read(openapi: str | None, kong: Path | None, nginx: Path | None) -> tuple[FoundRoute, ...]:
    if openapi is not None:
        return read_openapi(_document(_text(openapi), openapi))
    if kong is not None:
        return read_kong(_document(_text(str(kong)), str(kong)))
    return read_nginx(_text(str(nginx)))


def _text(source: str) -> str:
    if source.startswith(("http://", "https://")):
        try:
            answer = httpx.get(source, timeout=FETCH_SECONDS, follow_redirects=True)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise UnreadableSourceError(f"{source} cannot be fetched: {error}") from error
        return answer.text
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableSourceError(f"{source} cannot be read: {type(error).__name__}") from error


def _document(text: str, source: str) -> Any:
    """JSON or YAML; JSON first, because it says better where it is broken."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UnreadableSourceError(f"{source} is neither JSON nor YAML: {error}") from error
