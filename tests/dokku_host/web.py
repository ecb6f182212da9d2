"""Proxy, ports, host names, certificates, letsencrypt and maintenance of the fake host."""

from __future__ import annotations

import io
import tarfile

from tests.dokku_host.deploys import redeploy
from tests.dokku_host.host import FakeHost, handles
from tests.dokku_host.state import App
from tests.dokku_host.words import Call, RefusedError


def build_vhost(host: FakeHost, app: App) -> None:
    """nginx takes the properties over only here."""
    if app.proxy_enabled:
        app.vhost = {
            key: value
            for (plugin, name, key), value in host.state.properties.items()
            if plugin == "nginx" and name == app.name
        }


@handles("proxy:disable")
def proxy_disable(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    if not app.proxy_enabled:
        return
    app.proxy_enabled, app.domains_enabled, app.vhost = False, False, None
    if app.containers is not None and not redeploy(host, app):
        raise RefusedError("Failed to restart")


@handles("proxy:enable")
def proxy_enable(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    if app.proxy_enabled:
        return
    app.proxy_enabled = True
    _enable_domains(host, app)
    if app.containers is not None and not redeploy(host, app):
        raise RefusedError("Failed to restart")


@handles("proxy:build-config")
def build_config(host: FakeHost, call: Call) -> None:
    build_vhost(host, host.app(call.args[0]))


def _enable_domains(host: FakeHost, app: App) -> None:
    """Turning domains on writes the default names over whatever was there."""
    app.domains_enabled = True
    app.domains = [f"{app.name}.{domain}" for domain in host.state.global_domains]


@handles("domains:enable")
def domains_enable(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    _enable_domains(host, app)
    if app.containers is not None:
        redeploy(host, app)


@handles("domains:disable")
def domains_disable(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    app.domains_enabled = False


@handles("domains:add")
def domains_add(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    if not app.domains_enabled:  # the added name is lost, exit 0
        _enable_domains(host, app)
        return
    app.domains += [name for name in call.args[1:] if name not in app.domains]


@handles("domains:set")
def domains_set(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    if not app.domains_enabled:
        _enable_domains(host, app)
        return
    app.domains = list(dict.fromkeys(call.args[1:]))


@handles("domains:remove")
def domains_remove(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    app.domains = [name for name in app.domains if name not in call.args[1:]]


@handles("ports:set")
def ports_set(host: FakeHost, call: Call) -> None:
    host.app(call.args[0]).ports = list(call.args[1:])


@handles("certs:show")
def certs_show(host: FakeHost, call: Call) -> str:
    app = host.app(call.args[0])
    if app.certificate is None:
        raise RefusedError(f"An SSL cert is not installed for {app.name}")
    return app.certificate[0 if call.args[1] == "crt" else 1]


@handles("certs:add")
def certs_add(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    with tarfile.open(fileobj=io.BytesIO(call.stdin)) as archive:
        found = {
            name.rpartition(".")[2]: archive.extractfile(name).read().decode()  # type: ignore[union-attr]
            for name in archive.getnames()
        }
    if set(found) != {"crt", "key"}:
        raise RefusedError("Tarball must contain exactly one .crt and one .key")
    add_certificate(app, found["crt"], found["key"])


def add_certificate(app: App, crt: str, key: str) -> None:
    """A certificate adds the https twin of http:80."""
    app.certificate = (crt, key)
    for port in list(app.ports):
        scheme, host_port, inside = port.split(":")
        secure = f"https:443:{inside}"
        if (scheme, host_port) == ("http", "80") and secure not in app.ports:
            app.ports.append(secure)


@handles("letsencrypt:enable")
def letsencrypt_enable(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    if not host.property("letsencrypt", app.name, "email"):
        raise RefusedError("Cannot request a certificate without an e-mail address!")
    if not app.domains or not app.domains_enabled:
        raise RefusedError("no domain")
    for other in host.state.apps.values():
        if other is not app and other.domains_enabled and set(other.domains) & set(app.domains):
            raise RefusedError("the challenge was answered by another app")
    app.letsencrypt = True
    add_certificate(app, f"cert for {app.domains[0]}", "key")


@handles("letsencrypt:cron-job")
def cron_job(host: FakeHost, call: Call) -> None:
    if "--add" in call.flags:
        host.state.autorenew = True


@handles("maintenance:enable", "maintenance:disable")
def maintenance(host: FakeHost, call: Call) -> None:
    host.app(call.args[0]).maintenance = call.name.endswith("enable")
