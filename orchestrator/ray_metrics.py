"""Numbers of a batch through Ray's own metrics, which each node gives to Prometheus."""

from collections.abc import Mapping

import ray
from ray.util.metrics import Counter, Gauge, Histogram

from orchestrator.metrics import INSTRUMENTS, Instrument, Kind


class RaySink:
    """Ray's metrics, in the process that schedules; its node's agent gives them out. Ray must be up."""

    def __init__(self, *, job: str, run: str) -> None:
        """`job` and `run` are tags of every number: the job's name, and its output folder's."""
        self._always = {"job": job, "run": run}
        self._metrics = {one.name: self._make(one) for one in INSTRUMENTS}

    def record(self, instrument: Instrument, value: float, tags: Mapping[str, str]) -> None:
        """Add to a counter, set a gauge, or observe in a histogram."""
        metric, all_tags = self._metrics[instrument.name], {**self._always, **tags}
        match metric:
            case Counter():
                if value > 0:  # Ray refuses to count nothing
                    metric.inc(value, tags=all_tags)
            case Gauge():
                metric.set(value, tags=all_tags)
            case Histogram():
                metric.observe(value, tags=all_tags)

    def _make(self, one: Instrument) -> Counter | Gauge | Histogram:
        tags = (*self._always, *one.tags)
        match one.kind:
            case Kind.COUNTER:
                return Counter(one.name, description=one.description, tag_keys=tags)
            case Kind.GAUGE:
                return Gauge(one.name, description=one.description, tag_keys=tags)
            case Kind.HISTOGRAM:
                return Histogram(
                    one.name, description=one.description, boundaries=list(one.boundaries), tag_keys=tags
                )


def metrics_address() -> str | None:
    """Where this process's node gives its numbers to Prometheus; None where Ray was installed without that."""
    here = ray.get_runtime_context().get_node_id()
    for node in ray.nodes():
        if node["NodeID"] == here and node["MetricsExportPort"] > 0:
            return f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    return None
