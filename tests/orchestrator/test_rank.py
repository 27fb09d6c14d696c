"""What a rank is told of the launch before it loads anything."""

import os
from dataclasses import replace

import pytest

from orchestrator import worker
from orchestrator.choices import Device
from orchestrator.launch_plan import plan_launch
from orchestrator.rank import RankActor, rank_spec


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


def test_rank_on_the_cpu_sees_no_gpu(config, monkeypatch):
    """Before its worker's libraries are imported, which ask for one."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen = []
    monkeypatch.setattr(RankActor, "make_worker", lambda _, spec: seen.append(os.environ.get("CUDA_VISIBLE_DEVICES")))
    spec = rank_spec(plan_launch(config), 0)
    RankActor(replace(spec, device=Device.CUDA)).start()
    RankActor(spec).start()
    assert seen == [None, ""]
