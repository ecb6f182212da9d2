"""The forced command of the fake host: hands a line, a git service or a hook to the host's process.

Started for every ssh session, so it imports as little as possible.
"""

import _socket
import os
import sys


def ask(path, text, body=b""):
    """Send a text and a body; (exit code, stdout, stderr)."""
    link = _socket.socket(_socket.AF_UNIX)
    link.connect(path)
    line = text.encode()
    link.sendall(b"%d %d\n" % (len(line), len(body)) + line + body)
    answer = b""
    while part := link.recv(1 << 16):
        answer += part
    head, _, rest = answer.partition(b"\n")
    code, size, _ = (int(number) for number in head.split())
    return code, rest[:size], rest[size:]


def show(code, stdout, stderr):
    os.write(2, stderr)
    while stdout:
        stdout = stdout[os.write(1, stdout) :]
    if code:
        os._exit(code)


def session(path):
    line = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    if line.startswith(("git-receive-pack", "git-upload-pack")):
        service, _, app = line.partition(" ")
        code, stdout, stderr = ask(path, "repository " + app.strip("'").lstrip("/"))
        if code:
            show(code, stdout, stderr)
        os.execvp("git", ["git", service.removeprefix("git-"), stdout.decode()])  # noqa: S606
    body = b""
    while part := os.read(0, 1 << 16):
        body += part
    show(*ask(path, "run " + line, body))


def hook(path, app):
    kept = "".join(f"\n{k}={v}" for k, v in os.environ.items() if k.startswith("GIT_"))
    for line in sys.stdin:
        _old, new, ref = line.split()
        show(*ask(path, f"push {app} {ref} {new} {os.environ['PWD']}{kept}"))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        hook(sys.argv[1], sys.argv[2])
    else:
        session(sys.argv[1])
