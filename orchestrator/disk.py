"""Tell a disk that is full from a video that fails."""

import errno
import os
import re
import tempfile
from pathlib import Path

from orchestrator.errors import DiskFull

PROBE_BYTES = 8 * 2**20
"""What there must be room for: about a video."""
NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""No space, no quota, a limit on files, a file system that has become read-only."""

_NAMED = re.compile(r"""['"<](/[^'">]+)['">]""")


def _may_be_of(folder: Path, cause: str) -> bool:
    """Whether the files that a message names are the folder's, or it names none: a node has other disks too."""
    named = [Path(one) for one in _NAMED.findall(cause)]
    return not named or any(one.is_relative_to(folder) for one in named)


def check_room(folder: Path, cause: str = "") -> None:
    """See whether a failure is the disk's: by its words, or as nothing can be written any more.

    Args:
        folder: of the run.
        cause: what the failure said.

    Raises:
        DiskFull: it is.
    """
    for number in NUMBERS:
        if os.strerror(number) in cause and _may_be_of(folder, cause):
            raise DiskFull(folder, os.strerror(number))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, PROBE_BYTES)
    except OSError as error:
        raise DiskFull(folder, error.strerror or str(error)) from error
