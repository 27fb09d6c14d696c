"""What the tests of planning share."""

import pytest

from orchestrator.errors import BadInput
from orchestrator.launch_plan import plan_launch


def set_value(config, name: str, value: object) -> None:
    *groups, field = name.split(".")
    for group in groups:
        config = getattr(config, group)
    assert hasattr(config, field)
    setattr(config, field, value)


def refusal_of(config, **arguments) -> str:
    with pytest.raises(BadInput) as refused:
        plan_launch(config, **arguments)
    message = str(refused.value)
    assert "\n" not in message
    return message


def pretend_gpus(monkeypatch, number: int) -> None:
    for module in ("launch_plan", "checks", "gang_layout", "gang_plan"):
        monkeypatch.setattr(f"orchestrator.{module}.count_gpus", lambda: number)
