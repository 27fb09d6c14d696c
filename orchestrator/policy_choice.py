"""How a launch meets failures, from its configuration."""

from math import isfinite

from orchestrator.choices import choose
from orchestrator.config import LaunchConfig
from orchestrator.errors import BadInput
from orchestrator.policy import CheckpointState, Policy


def policy_of(config: LaunchConfig) -> Policy:
    """The policy that the configuration comes to.

    Raises:
        BadInput: a field is out of range.
    """
    checkpoint, retry = config.checkpoint, config.retry
    for name, value in (
        ("checkpoint.every", checkpoint.every),
        ("checkpoint.grace", checkpoint.grace),
        ("retry.backoff", retry.backoff),
    ):
        if not (isfinite(value) and value >= 0):
            raise BadInput(f"{name}={value} must be a number of seconds, at least 0")
    if retry.max_attempts < 1:
        raise BadInput(f"retry.max_attempts={retry.max_attempts} must be at least 1")
    if config.decode.max_waiting < 0:
        raise BadInput(f"decode.max_waiting={config.decode.max_waiting} must be at least 0")
    return Policy(
        max_waiting=config.decode.max_waiting,
        checkpoint_state=choose(CheckpointState, checkpoint.state, "checkpoint.state"),
        checkpoint_every=checkpoint.every,
        max_attempts=retry.max_attempts,
        backoff_seconds=retry.backoff,
        grace_seconds=checkpoint.grace,
        retry_failed=retry.failed,
    )
