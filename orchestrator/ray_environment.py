"""What Ray reads from the environment. Ray's own code takes it in while it is imported, so this comes first."""

import os
import secrets

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no report of usage to anyone
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # else a launch under `uv run` builds an environment for each worker
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the future default; silences a warning
}


def prepare_environment(*, own_cluster: bool, metrics: bool = False) -> None:
    """Keep Ray quiet, and closed to others. Before `import ray`; its processes inherit it.

    Args:
        own_cluster: Ray is going to be started by this launch. It then listens to this machine alone, and gets a
            token of this launch's own: without one it would leave a token in the home folder, or its port open to
            everyone here. A cluster that is joined has its own token, which the user gives in RAY_AUTH_TOKEN.
        metrics: whether a Ray that is started gives out numbers, on a port that anyone may read.
    """
    os.environ.update(_QUIET)
    if own_cluster:
        # Ray's name for it is that of the systems where this is its default: all its ports are those of 127.0.0.1.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.environ["RAY_enable_metrics_collection"] = str(int(metrics))  # noqa: SIM112 - Ray's own spelling
