"""Deploys apps by pushing one commit to each that changed, and proves that it really runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from migrate.dokku import reports
from migrate.dokku.apply import Applier
from migrate.dokku.argv import LONG_SECONDS, command
from migrate.dokku.observed import STOPPED, run_key
from migrate.dokku.reading import exists, report
from migrate.dokku.repository import Repository, push_url
from migrate.dokku.settle import finish_web, give_rights
from migrate.dokku.transport import Transport, must
from shared.errors import OperatorError
from shared.manifest_dokku import AppDokku, DokkuSection

#: How often and how long (seconds) a fresh deploy may need until all its processes are reported as running.
RUNNING_TRIES = 10
RUNNING_PAUSE = 1.0


class DeployFailedError(OperatorError):
    """A deploy did not bring the commit to life; later apps were not touched."""

    def __init__(self, app: str, revision: str, problem: str, untouched: Sequence[str]) -> None:
        rest = f" Not deployed: {', '.join(untouched)}." if untouched else ""
        super().__init__(
            f"{app} at {revision[:12]}: {problem}.{rest} Containers that ran before go on. See"
            f" `dokku logs:failed {app}` and `dokku builds:list {app}`, then run"
            f" `migrate deploy` again, or go back with `migrate deploy --rollback {app}`"
        )
        self.app = app
        self.revision = revision
        self.problem = problem
        self.untouched = tuple(untouched)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An app and why it would be pushed; `reason` is empty when nothing has to be done."""

    app: str
    running: str
    reason: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployed:
    """One proven deploy."""

    app: str
    revision: str
    seconds: float


def waves(apps: Sequence[str], models: Mapping[str, AppDokku]) -> tuple[tuple[str, ...], ...]:
    """Groups that may be deployed at the same time: every `deploy_after` is in an earlier group."""
    level: dict[str, int] = {}
    for app in apps:
        before = [level[name] for name in models[app].deploy_after if name in level]
        level[app] = max(before, default=-1) + 1
    numbers = sorted(set(level.values()))
    return tuple(tuple(app for app in apps if level[app] == number) for number in numbers)


@dataclass
class Deployer:
    """Pushes in the manifest's order. `applier` mends around a deploy what disturbs nothing."""

    transport: Transport
    repository: Repository
    section: DokkuSection
    models: Mapping[str, AppDokku]
    applier: Applier
    host: str
    on_push: Callable[[str, str], None] = lambda _app, _revision: None
    on_deployed: Callable[[Deployed], None] = lambda _deployed: None
    pause: float = RUNNING_PAUSE
    #: Rights are given in the same stores, so one app at a time.
    _settling: asyncio.Lock = field(default_factory=asyncio.Lock)

    def url(self, app: str) -> str:
        """Where the app is pushed to."""
        return push_url(self.section.user, self.host, self.section.ssh_port, app)

    async def candidates(self, apps: Sequence[str], revision: str) -> tuple[Candidate, ...]:
        """What each app runs, and whether it has to be pushed; one that a phase stopped has not."""
        kept = await self.applier.digests.load()
        return tuple(
            [
                await self._candidate(app, revision, stopped=kept.get(run_key(app)) == STOPPED)
                for app in apps
            ]
        )

    async def _candidate(self, app: str, revision: str, *, stopped: bool) -> Candidate:
        if not await exists(self.transport, app):
            return Candidate(app, "", f"not on the host; run `migrate dokku apply {app}` first")
        running = await self.running(app)
        if running == revision or stopped:
            return Candidate(app, running, "")
        if not await self.repository.has(running):
            return Candidate(
                app, running, "first deploy" if not running else "unknown revision runs"
            )
        model = self.models[app]
        shared = self.section.shared_paths if model.uses_shared else ()
        paths = (*model.paths, *self.section.image_paths, *shared)
        files = await self.repository.changed(running, revision, paths)
        reason = f"{len(files)} file(s) changed since {running[:12]}" if files else ""
        return Candidate(app, running, reason, files)

    async def running(self, app: str) -> str:
        """The commit whose deploy succeeded last; empty when nothing was deployed."""
        found = await report(self.transport, "apps", app)
        source = found.get("deploy-source-metadata", "")
        if commit := re.search(r"\b[0-9a-f]{40}\b", source):
            return commit[0]
        if not source:
            return ""
        return await self.repository.remote(self.url(app), self.section.deploy_branch)

    async def deploy(
        self, apps: Sequence[str], revision: str, *, force: bool = False
    ) -> tuple[Deployed, ...]:
        """Push to every app, in waves, and prove each; stops at the first failure."""
        await self.repository.refuse_shallow()
        done: list[Deployed] = []
        started: set[str] = set()
        for wave in waves(apps, self.models):
            slots = asyncio.Semaphore(self.section.deploy_parallel)
            failed = asyncio.Event()

            async def one(
                app: str, slots: asyncio.Semaphore = slots, failed: asyncio.Event = failed
            ) -> Deployed | None:
                async with slots:
                    if failed.is_set():
                        return None
                    started.add(app)
                    try:
                        return await self._deploy_one(app, revision, force=force)
                    except BaseException:
                        failed.set()
                        raise

            results = await asyncio.gather(*(one(app) for app in wave), return_exceptions=True)
            done += [row for row in results if isinstance(row, Deployed)]
            errors = [row for row in results if isinstance(row, BaseException)]
            if errors:
                untouched = [app for app in apps if app not in started]
                self._raise(errors[0], revision, untouched)
        return tuple(done)

    def _raise(self, error: BaseException, revision: str, untouched: Sequence[str]) -> None:
        if isinstance(error, DeployFailedError):
            raise DeployFailedError(error.app, revision, error.problem, untouched) from error
        raise error

    async def _deploy_one(self, app: str, revision: str, *, force: bool) -> Deployed:
        clock = asyncio.get_running_loop()
        began = clock.time()
        async with self._settling:
            await give_rights(self.applier, app)
        self.on_push(app, revision)
        if await self.repository.remote(self.url(app), self.section.deploy_branch) == revision:
            # the branch is there already, so a push would deploy nothing
            built = await self.transport.run(
                command("ps:rebuild", app, timeout_seconds=LONG_SECONDS)
            )
        else:
            built = await self.repository.push(
                self.url(app), revision, self.section.deploy_branch, force=force
            )
        if built.exit != 0:
            raise DeployFailedError(app, revision, _last_words(built.complaint), ())
        await self._prove(app, revision)
        await finish_web(self.applier, app)
        await self.repository.remember(app, revision)
        deployed = Deployed(app, revision, clock.time() - began)
        self.on_deployed(deployed)
        return deployed

    async def _prove(self, app: str, revision: str) -> None:
        """A push may end with 0 and deploy nothing: ask the host what runs."""
        source = await self.running(app)
        if source != revision:
            runs = source[:12] or "nothing"
            raise DeployFailedError(
                app, revision, f"the push ended without an error, but the host runs {runs}", ()
            )
        for attempt in range(RUNNING_TRIES):
            state = await report(self.transport, "ps", app)
            if state.get("running") == "true" or not _has_processes(state):
                return
            if attempt + 1 < RUNNING_TRIES:
                await asyncio.sleep(self.pause)
        raise DeployFailedError(
            app, revision, f"its processes are reported as running: {state.get('running')}", ()
        )

    async def previous(self, app: str) -> str:
        """The commit to go back to: the last other one that was proven to run."""
        running = await self.running(app)
        answer = await must(
            self.transport, command("builds:list", app, "--format", "json", "--status", "succeeded")
        )
        for row in reports.json_list("builds:list", answer.text):
            source = str(row.get("source", ""))
            if source != running and await self.repository.has(source):
                return source
        known = await self.repository.before(app, running)
        if known is None:
            raise OperatorError(
                f"no earlier deploy of {app} is known here;"
                f" name the commit: `migrate deploy {app} --ref COMMIT --force`"
            )
        return known


def _has_processes(state: Mapping[str, str]) -> bool:
    return state.get("processes", "") not in {"", "0"}


def _last_words(complaint: str) -> str:
    """The end of a build's output, which says why it failed."""
    parts = [part for part in complaint.split("; ") if part]
    marked = [part for part in parts if part.startswith("remote:  !")]
    return " ".join((marked or parts)[-3:])[:600] or "the push was rejected"
