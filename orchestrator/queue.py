"""Which video is next: by priority, then in order, but of one shape in a row where nobody has to wait long for it."""

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from orchestrator.request import Request

PATIENCE = 16
"""How many videos of other shapes may overtake the oldest one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A video that waits."""

    video_id: str
    priority: int
    shape: Hashable
    """What a gang would have to warm up for anew."""


class _Level:
    """Videos of one priority."""

    def __init__(self) -> None:
        self._by_shape: dict[Hashable, deque[tuple[int, str]]] = defaultdict(deque)
        self._passed_over = 0

    def __len__(self) -> int:
        return sum(map(len, self._by_shape.values()))

    def add(self, order: int, one: Waiting) -> None:
        self._by_shape[one.shape].append((order, one.video_id))

    def add_first(self, order: int, one: Waiting) -> None:
        self._by_shape[one.shape].appendleft((order, one.video_id))

    def take(self, preferred: Hashable | None) -> tuple[str, Hashable]:
        oldest = min(self._by_shape, key=lambda shape: self._by_shape[shape][0])
        shape = oldest
        if preferred in self._by_shape and preferred != oldest and self._passed_over < PATIENCE:
            self._passed_over += 1
            shape = preferred
        elif shape == oldest:
            self._passed_over = 0
        _, video_id = self._by_shape[shape].popleft()
        if not self._by_shape[shape]:
            del self._by_shape[shape]
        return video_id, shape


class VideoQueue:
    """Videos that wait. Every operation takes time that grows with the number of shapes, not of videos."""

    def __init__(self, waiting: Iterable[Waiting] = ()) -> None:
        self._levels: dict[int, _Level] = {}
        self._priorities: list[int] = []
        self._sizes: dict[int, int] = defaultdict(int)
        self._length = 0
        self._num_added = 0
        for one in waiting:
            self.add(one)

    def __len__(self) -> int:
        return self._length

    def add(self, one: Waiting) -> None:
        """Put a video behind the others of its priority."""
        self._count(one).add(self._num_added, one)

    def add_first(self, one: Waiting) -> None:
        """Put a video before the others of its priority."""
        self._count(one).add_first(-self._num_added, one)

    def _count(self, one: Waiting) -> _Level:
        """The videos of its priority, of which there is one more now."""
        if one.priority not in self._levels:
            self._levels[one.priority] = _Level()
            heappush(self._priorities, -one.priority)
        self._sizes[one.priority] += 1
        self._num_added += 1
        self._length += 1
        return self._levels[one.priority]

    def take(self, preferred: Hashable | None = None) -> tuple[str, Hashable]:
        """The next video and its shape: of the highest priority, and `preferred` where the oldest can wait.

        Raises:
            IndexError: none is waiting.
        """
        if not self._length:
            raise IndexError("no video is waiting")
        priority = -self._priorities[0]
        taken = self._levels[priority].take(preferred)
        self._sizes[priority] -= 1
        self._length -= 1
        if not self._sizes[priority]:
            heappop(self._priorities)
            del self._levels[priority], self._sizes[priority]
        return taken


def shape_of(request: Request) -> Hashable:
    """What decides how long a segment takes and what is warmed up for it."""
    return request.height, request.width, request.num_frames, request.is_guided
