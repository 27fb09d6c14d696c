"""One launch at a time on a run folder's shard: a lease on the disk, renewed while its owner lives.

A lease is a file that is made in one step or not at all. It ends when its owner is known to be dead: on the same host
its process is gone, from another host it has not been renewed for a minute.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from orchestrator.errors import BadInput

log = logging.getLogger("orchestrator")

RENEW_SECONDS = 10.0
EXPIRES_SECONDS = 60.0


@contextmanager
def lease(path: Path, *, what: str, rivals: Callable[[], Iterable[Path]] = tuple) -> Iterator[None]:
    """Hold the lease inside. Whoever loses it meanwhile is asked to end, by SIGTERM.

    Args:
        path: the file.
        what: names what is leased, in the refusal.
        rivals: gives the leases that must not be held at the same time.

    Raises:
        BadInput: another launch holds it, or one of the rivals, and may be alive; the line says which.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    token = uuid4().hex
    owner = _claim(path, token) or _yield_to(rivals, path)
    if owner is not None:
        raise BadInput(
            f"{what} is being rendered by another launch: process {owner.get('pid')} on {owner.get('host')}, "
            f"since {owner.get('since')}; wait for its end, end it, or give another output or job.shard"
        )
    closing = threading.Event()
    thread = threading.Thread(target=_renew, args=(path, token, rivals, closing), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()
        with contextlib.suppress(OSError):  # a lease that cannot be taken away ends with this process
            owner = _owner(_content(path))
            if owner is not None and owner.get("token") == token:
                path.unlink(missing_ok=True)


def _claim(path: Path, token: str) -> dict[str, Any] | None:
    """Make the lease, in a dead owner's place too; None, or the owner that may be alive.

    Replacing a file does not ask whose it is by then, so an owner's heir alone may replace its lease. Who is heir is
    itself a lease, named by what the dead owner's says; no two say the same. Whoever comes to it late finds another
    owner's, and looks again.
    """
    while not _make(path, token):
        content = _content(path)
        if content is None:
            continue  # given back meanwhile, which is not the same as damaged: there is nobody to inherit from
        owner = _owner(content)
        if owner is not None and _may_be_alive(owner, path):
            return owner
        heir = path.with_name(f"{path.name}.{hashlib.sha256(content).hexdigest()[:32]}")
        if (rival := _claim(heir, token)) is not None:
            return rival
        try:
            if _content(path) == content:
                _draft(path, token).replace(path)
                return None
        finally:
            heir.unlink()
    return None


def _draft(path: Path, token: str) -> Path:
    own = {
        "host": platform.node(),
        "pid": os.getpid(),
        "process_began": psutil.Process().create_time(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "token": token,
    }
    draft = path.with_name(f".{path.name}.{token}")
    draft.write_text(json.dumps(own), encoding="utf-8")
    return draft


def _make(path: Path, token: str) -> bool:
    """Make the file, whole; whether it was not there."""
    draft = _draft(path, token)
    try:
        os.link(draft, path)  # fails where the name exists, on network file systems too
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _content(path: Path) -> bytes | None:
    """What the lease says; None where there is none (any more)."""
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        return None


def _owner(content: bytes | None) -> dict[str, Any] | None:
    """Who holds the lease that says this; None where there is none, or where it is damaged."""
    try:
        owner = json.loads(content or b"")
    except ValueError:
        return None
    return owner if isinstance(owner, dict) else None


def _may_be_alive(owner: dict[str, Any], path: Path) -> bool:
    if owner.get("host") == platform.node():
        try:
            process = psutil.Process(int(owner["pid"]))
            return bool(abs(process.create_time() - owner["process_began"]) < 1 and process.status() != "zombie")
        except (psutil.NoSuchProcess, KeyError, ValueError, TypeError):
            return False
    try:
        return time.time() - path.stat().st_mtime < EXPIRES_SECONDS
    except FileNotFoundError:
        return False


def _first_alive(leases: Iterable[Path]) -> dict[str, Any] | None:
    """An owner of one of the leases that may be alive."""
    owners = ((_owner(_content(path)), path) for path in leases)
    return next((owner for owner, path in owners if owner is not None and _may_be_alive(owner, path)), None)


def _yield_to(rivals: Callable[[], Iterable[Path]], path: Path) -> dict[str, Any] | None:
    """Give the lease back where a rival's owner may be alive, who is returned."""
    if (owner := _first_alive(rivals())) is not None:
        path.unlink(missing_ok=True)
    return owner


def _renew(path: Path, token: str, rivals: Callable[[], Iterable[Path]], closing: threading.Event) -> None:
    """Until closed, or until another has it: this process stood still for so long that it was taken for dead."""
    is_made_anew = False
    while not closing.wait(RENEW_SECONDS):
        with contextlib.suppress(OSError):  # the file system may be away for a moment
            content = _content(path)
            owner = _owner(content)
            # Whoever took it over may have given it back meanwhile.
            is_made_anew = is_made_anew or (content is None and _make(path, token))
            if is_made_anew:
                owner, is_made_anew = _yield_to(rivals, path) or owner, False
            if owner is not None and owner.get("token") != token:
                log.error(
                    "%s belongs to process %s on %s now; this launch ends", path, owner.get("pid"), owner.get("host")
                )
                os.kill(os.getpid(), signal.SIGTERM)
                return
            os.utime(path)
