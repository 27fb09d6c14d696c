"""Whether a folder is likely to be the same one on every node, judged by the file system that it lies on."""

import re
from dataclasses import dataclass
from pathlib import Path

_NETWORKED = {
    *("nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3", "9p", "afs", "panfs", "wekafs", "glusterfs"),
    *("orangefs", "pvfs2", "ocfs2", "gfs2", "virtiofs", "daos", "quobyte", "vast", "curvefs", "juicefs"),
}
_OCTAL = re.compile(r"\\([0-7]{3})")
_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Mount:
    """Where something is mounted, and what."""

    point: Path
    kind: str


def mount_of(folder: Path, mounts: str | None = None) -> Mount:
    """The mount that a folder lies on, whether the folder is there already or not.

    Args:
        folder: absolute.
        mounts: content of /proc/self/mountinfo; None reads it.
    """
    text = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape") if mounts is None else mounts
    resolved = folder.resolve()
    # Of several mounts on one point the last one hides the others, and `max` keeps the first: so in reverse.
    holding = [mount for mount in map(_parse, reversed(text.splitlines())) if resolved.is_relative_to(mount.point)]
    return max(holding, key=lambda mount: len(mount.point.parts))


def is_networked(mount: Mount) -> bool:
    """Whether machines share this kind of file system. False proves nothing: a local disk may be exported to all."""
    return mount.kind in _NETWORKED or mount.kind.startswith("fuse.")


def _parse(line: str) -> Mount:
    """A line is: id, parent, device, root, mount point, options, …, "-", kind, source, more options."""
    before, _, after = line.partition(" - ")
    point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), before.split()[4])  # \040 is a space
    return Mount(Path(point), after.split()[0])
