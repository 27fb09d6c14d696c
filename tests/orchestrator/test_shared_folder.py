"""Which file system a folder lies on, and whether machines share such."""

from pathlib import Path

import pytest

from orchestrator.shared_folder import Mount, is_networked, mount_of

MOUNTS = """\
1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
2 1 0:3 / /home rw - nfs4 server:/home rw
3 1 0:4 / /mnt/my\\040data rw - lustre x@tcp:/fs rw
4 1 0:5 / /home/local rw - tmpfs tmpfs rw
5 1 0:6 / /twice rw - ext4 /dev/sdb rw
6 1 0:7 / /twice rw - beegfs beegfs rw
"""


@pytest.mark.parametrize(
    ("folder", "point", "kind"),
    [
        ("/data/run", "/", "ext4"),
        ("/home/me/run", "/home", "nfs4"),
        ("/homestead", "/", "ext4"),
        ("/home/local/run", "/home/local", "tmpfs"),
        ("/mnt/my data/run", "/mnt/my data", "lustre"),
        ("/twice/run", "/twice", "beegfs"),
    ],
)
def test_innermost_mount_counts_and_of_two_on_one_point_the_last(folder, point, kind):
    assert mount_of(Path(folder), MOUNTS) == Mount(Path(point), kind)


def test_own_root_is_found():
    assert mount_of(Path("/no/such/folder")).kind


@pytest.mark.parametrize(
    ("kind", "expected"), [("nfs", True), ("lustre", True), ("fuse.sshfs", True), ("ext4", False), ("tmpfs", False)]
)
def test_kinds_that_machines_share(kind, expected):
    assert is_networked(Mount(Path("/"), kind)) is expected
