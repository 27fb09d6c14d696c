"""The page's files: put together from what stands in a run's folder, and only as far as something has changed.

A shard writes what all shards have left in their common folder. Two that write at once would each leave what it has
seen; whoever comes last looks again at what is done.
"""

from base64 import b64encode
from collections import defaultdict
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from typing import Any

from orchestrator.artifacts import RunFolder, replace_text
from orchestrator.page.records import details_of, launch_of, pair_of, read_json, script_value, summary_of
from orchestrator.pair import folder_of, read_pairs
from orchestrator.run_status import RunStatus, State, VideoStatus, read_run

GROUP_DIGITS = 2
"""Of a video id: what is shown of single videos stands in 256 files, each loaded when one of its videos is opened."""
SCRIPTS = ("text.js", "run.js", "choice.js", "chart.js", "player.js", "grid.js", "pairs.js", "video.js", "main.js")
"""In the order in which they stand on the page."""
_MOST_LOOKS = 3
"""How often a page that others write as well is looked at again."""
_ENTIRE = {State.DONE, State.FAILED}


class PageFiles:
    """The page of a run, and what is known of its files since they were last written."""

    def __init__(self, run_folder: RunFolder) -> None:
        self._run_folder = RunFolder(run_folder.root)
        self._lines: dict[str, str] = {}
        self._groups: dict[str, frozenset[tuple[str, State]]] = {}

    def write(self, *, is_last: bool = False) -> None:
        """Bring the files up to date.

        Args:
            is_last: whether to look again at what other shards may have finished meanwhile.

        Raises:
            BadInput: the folder holds no run.
            OSError: a file cannot be written.
        """
        for _ in range(_MOST_LOOKS if is_last else 1):
            run = read_run(self._run_folder.root)
            self._write_details(run)
            replace_text(self._run_folder.page_videos, self._videos_script(run))
            self._write_page()
            if len(run.launches) < 2 or _states(run) == _states(read_run(self._run_folder.root)):
                return

    def _write_details(self, run: RunStatus) -> None:
        """What is shown of single videos: of the groups in which one has come or gone."""
        groups: dict[str, list[VideoStatus]] = defaultdict(list)
        for video in run.videos.values():
            if video.state in _ENTIRE:
                groups[video.video_id[:GROUP_DIGITS]].append(video)
        for group, videos in groups.items():
            key = frozenset((video.video_id, video.state) for video in videos)
            if self._groups.get(group) == key:
                continue
            details: dict[str, Any] = {}
            for video in videos:
                said = read_json(self._run_folder.video(video.video_id), video.state)
                details[video.video_id] = details_of(video.state, said)
                self._lines[video.video_id] = script_value(summary_of(video, said))
            replace_text(self._run_folder.page_details(group), f"runPage.details({script_value(details)});\n")
            self._groups[group] = key

    def _videos_script(self, run: RunStatus) -> str:
        """A line for each video, in the order of the launches' files."""
        head = {
            "name": self._run_folder.root.resolve().name,
            "built": datetime.now(UTC).isoformat(timespec="seconds"),
            "groupDigits": GROUP_DIGITS,
            "launches": [launch_of(launch) for launch in run.launches],
            "pairs": self._pairs(),
        }
        lines = [
            self._lines[video.video_id] if video.state in _ENTIRE else script_value(summary_of(video, None))
            for video in run.videos.values()
        ]
        return "runPage.run({},[\n{}\n]);\n".format(script_value(head), ",\n".join(lines))

    def _pairs(self) -> dict[str, Any]:
        """Videos whose reference is there as well."""
        shown = {}
        for video_id, record in read_pairs(self._run_folder).items():
            reference = folder_of(self._run_folder, record.pair.reference)
            if reference.is_done and self._run_folder.video(video_id).is_done:
                folder = reference.root.relative_to(self._run_folder.root).as_posix()
                shown[video_id] = pair_of(record, read_json(reference, State.DONE), folder)
        return shown

    def _write_page(self) -> None:
        """The page itself is the same for every run: written where it is not there, or of another version."""
        page, path = page_html(), self._run_folder.page
        if not path.is_file() or path.read_text(encoding="utf-8") != page:
            replace_text(path, page)


def page_html() -> str:
    """The page with its style and scripts inside. It allows these alone, and data from its own folder."""
    assets = files("orchestrator.page") / "assets"
    style = (assets / "page.css").read_text(encoding="utf-8")
    script = "\n".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS)
    html = (assets / "page.html").read_text(encoding="utf-8")
    for mark, text in {
        "STYLE-HASH": _content_hash(style),
        "SCRIPT-HASH": _content_hash(script),
        "STYLE": style,
        "SCRIPT": script,
    }.items():
        assert html.count(f"@{mark}@") == 1, mark
        html = html.replace(f"@{mark}@", text)
    return html


def _content_hash(text: str) -> str:
    """As a content security policy names an inline style or script."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _states(run: RunStatus) -> dict[str, State]:
    return {video.video_id: video.state for video in run.videos.values() if video.state in _ENTIRE}
