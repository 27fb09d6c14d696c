"""What a rank is told of the launch before it loads anything."""

import pytest

from orchestrator import worker
from orchestrator.launch_plan import plan_launch
from orchestrator.rank import rank_spec


@pytest.mark.parametrize(("method", "is_looked_for"), [("spectrum", True), ("none", False)])
def test_a_compiler_is_looked_for_before_the_model_is_loaded_where_something_is_forecast(
    config, monkeypatch, method, is_looked_for
):
    config.forecast.method = method
    done = []
    monkeypatch.setattr(worker, "check_compiler", lambda device: done.append(str(device)))
    monkeypatch.setattr(worker, "load_transformer", lambda *_arguments, **_more: done.append("loaded") or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        worker.Worker(rank_spec(plan_launch(config), 0)).load()
    assert done == (["cpu", "loaded"] if is_looked_for else ["loaded"])
