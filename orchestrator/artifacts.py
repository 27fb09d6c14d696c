"""The one owner of paths: where a run's files are, and how they come to be there whole."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import BadInput

_TEMPORARY = ".tmp-"
_VIDEO_ID = re.compile(r"[0-9a-f]+")
_SHARD = re.compile(r"all|[0-9]+-of-[0-9]+")
_ENTRIES = ".jsonl"
_PROGRESS = ".under_way.json"


@dataclass(frozen=True, slots=True)
class VideoFolder:
    """The files of one finished video. `video.json` is published last: its presence means done."""

    root: Path

    @property
    def video(self) -> Path:
        """The mp4."""
        return self.root / "video.mp4"

    @property
    def preview(self) -> Path:
        """A filmstrip with the prompt."""
        return self.root / "preview.png"

    @property
    def sidecar(self) -> Path:
        """How the video was made."""
        return self.root / "video.json"

    @property
    def latents(self) -> Path:
        """Finished latents; there between denoising and publishing only."""
        return self.root / "latents.safetensors"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints; there while the video is denoised, and after that was broken off."""
        return self.root / ".checkpoints"

    @property
    def attempts(self) -> Path:
        """How often the video failed in a row; there until it is done."""
        return self.root / ".attempts.json"

    @property
    def failure(self) -> Path:
        """Why the video was set aside, and after how many attempts."""
        return self.root / "failed.json"

    @property
    def is_done(self) -> bool:
        """Whether every file is there, whole."""
        return self.sidecar.is_file() and self.video.is_file()

    @property
    def is_begun(self) -> bool:
        """Whether something is kept of it to go on from."""
        return self.latents.is_file() or self.checkpoints.is_dir()

    def clear(self) -> None:
        """Remove what a killed launch may have left: half-written files; of a done video all but itself."""
        for temporary in self.root.glob(f"{_TEMPORARY}*"):
            temporary.unlink(missing_ok=True)
        if self.is_done:
            self.tidy()

    def tidy(self) -> None:
        """Remove what a video that is done needs no more: latents, checkpoints, and what was counted of failures.

        The checkpoints go when the latents are kept; a rank that is killed between the two leaves both.
        """
        for path in (self.latents, self.attempts, self.failure):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def read_sidecar(self) -> dict[str, Any]:
        """The finished video's record."""
        record: dict[str, Any] = json.loads(self.sidecar.read_text(encoding="utf-8"))
        return record


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The output folder of one launch."""

    root: Path
    reference_ids: frozenset[str] = frozenset()
    """Videos that are no part of the batch, but rendered for comparison: they stand apart."""

    def video(self, video_id: str) -> VideoFolder:
        """The folder of one video.

        Raises:
            ValueError: `video_id` is not the hash that names videos, and might lead elsewhere.
        """
        if video_id in self.reference_ids:
            return self.reference(video_id)
        return VideoFolder(self.root / _checked_id(video_id))

    @property
    def references(self) -> Path:
        """The folder of what was rendered for comparison."""
        return self.root / "references"

    def reference(self, video_id: str) -> VideoFolder:
        """The folder of a video that was rendered for comparison.

        Raises:
            ValueError: as `video`.
        """
        return VideoFolder(self.references / _checked_id(video_id))

    def pair(self, video_id: str) -> Path:
        """What a video of the batch is compared with, and how alike they are."""
        return self.references / f"{_checked_id(video_id)}.json"

    def paired_ids(self) -> list[str]:
        """Videos of the batch that are compared with a reference."""
        return sorted(path.stem for path in self.references.glob("*.json") if _VIDEO_ID.fullmatch(path.stem))

    @property
    def page(self) -> Path:
        """The page to look at."""
        return self.root / "index.html"

    @property
    def page_videos(self) -> Path:
        """What the page knows of every video."""
        return self.root / "page" / "videos.js"

    def page_details(self, group: str) -> Path:
        """What the page shows of single videos: those whose ids begin with these digits."""
        return self.root / "page" / f"{_checked_id(group)}.js"

    @property
    def embeddings(self) -> Path:
        """The folder of prompt embeddings."""
        return self.root / ".embeddings"

    def video_ids(self) -> set[str]:
        """Ids of the videos that have a folder, done or not."""
        try:
            with os.scandir(self.root) as entries:
                return {entry.name for entry in entries if _VIDEO_ID.fullmatch(entry.name)}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    @property
    def launches(self) -> Path:
        """The folder of what launches say of themselves, by shard."""
        return self.root / "launches"

    def launch_entries(self, shard: str) -> Path:
        """The videos that the latest launch of a shard was asked for."""
        return self.launches / f"{_checked_shard(shard)}{_ENTRIES}"

    def launch_progress(self, shard: str) -> Path:
        """What the launch of a shard is doing; there while it runs, and after it was killed."""
        return self.launches / f"{_checked_shard(shard)}{_PROGRESS}"

    def launch_lease(self, shard: str) -> Path:
        """Who renders a shard now."""
        return self.launches / f"{_checked_shard(shard)}.lease"

    def leased_shards(self) -> list[str]:
        """Shards that are rendered now, or were when their launch was killed."""
        names = [path.stem for path in self.launches.glob("*.lease")]
        return sorted(name for name in names if _SHARD.fullmatch(name))

    def launched_shards(self) -> list[str]:
        """Shards of which there was a launch."""
        names = [path.name.removesuffix(_ENTRIES) for path in self.launches.glob(f"*{_ENTRIES}")]
        return sorted(name for name in names if _SHARD.fullmatch(name))

    def check_writable(self) -> None:
        """Raises BadInput where the folder cannot be made or written; leaves nothing behind."""
        existing = self.root
        try:
            while not existing.exists() and existing != existing.parent:
                existing = existing.parent
        except OSError as error:
            raise BadInput(f"output={self.root} cannot be a folder: {error.strerror}") from error
        if not existing.is_dir():
            raise BadInput(f"output={self.root} cannot be made: {existing} is not a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise BadInput(f"output={self.root} cannot be written: no permission on {existing}")


def _checked_id(video_id: str) -> str:
    if not _VIDEO_ID.fullmatch(video_id):
        raise ValueError(f"video id {video_id!r} is not made of hexadecimal digits")
    return video_id


def _checked_shard(shard: str) -> str:
    assert _SHARD.fullmatch(shard), shard
    return shard


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Write a file so that it is either absent or whole: give a temporary path, rename it to `path` at the end.

    The temporary file stands in the same folder, as a rename is atomic within one file system only, keeps the suffix
    of `path`, and is removed if the writer fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY, suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def publish_json(path: Path, value: object) -> None:
    """Publish a value as indented JSON."""
    with publish(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def replace_json(path: Path, value: object) -> None:
    """Put a value in the place of a file at once, for readers of every second.

    Unlike `publish` it does not wait for the disk, and its temporary file has one name: a file has one such writer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_TEMPORARY}{path.name}")
    temporary.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    temporary.replace(path)


def replace_text(path: Path, text: str) -> None:
    """Put a text in the place of a file at once, as `replace_json` does, but for files that have several writers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY, suffix=path.suffix)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Bring a file's or folder's content to the disk, so that a rename never outlives what it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
