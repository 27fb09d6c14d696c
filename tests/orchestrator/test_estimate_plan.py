"""What a batch takes, from its configuration."""

import json
from dataclasses import replace

import pytest

from orchestrator.errors import BadInput
from orchestrator.estimate_config import EstimateConfig
from orchestrator.estimate_plan import plan_estimate
from orchestrator.estimate_report import as_json, as_text
from orchestrator.model_facts import model_facts
from parallel.hardware import H100
from parallel.layout import Layout
from parallel.render_memory import GIB
from tests.helpers.planning import set_value


@pytest.fixture
def wan(tmp_path) -> EstimateConfig:
    """What `+job=wan_t2v prompt=… estimate.gpu=H100 estimate.gpus=8` comes to; the model is not on this machine."""
    config = EstimateConfig(prompt="a red fox", output=str(tmp_path / "output"))
    config.job.name = "wan_t2v"
    config.model.name, config.model.path = "wan2.1_t2v_14b", "nobody/has-this-model"
    config.decode.parallel, config.cluster.num_gangs = True, 1
    config.estimate.gpu, config.estimate.gpus = "H100", 8
    return config


@pytest.fixture
def demo(config, tmp_path) -> EstimateConfig:
    """What `+job=demo parallel=pair` comes to."""
    made = EstimateConfig(job=config.job, model=config.model, video=config.video, denoise=config.denoise)
    made.prompt, made.output = config.prompt, str(tmp_path / "output")
    made.cluster.device, made.cluster.num_gangs, made.parallel.ulysses = "cpu", 1, 2
    return made


def refusal_of(config: EstimateConfig) -> str:
    with pytest.raises(BadInput) as refused:
        plan_estimate(config)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def with_batch(config: EstimateConfig, tmp_path, rows: list[dict]) -> EstimateConfig:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    config.prompt, config.batch = None, str(file)
    return config


def test_all_gpus_of_a_node_render_a_video_that_no_machine_here_could(wan):
    made = plan_estimate(wan)
    assert made.gangs.layout == Layout(cfg=2, ulysses=4)
    [kind] = made.kinds
    assert 15 < kind.seconds.total < 30 and 2.5 < kind.seconds.speedup < 3.57
    assert kind.memory.peak < made.gangs.costs.usable_bytes < H100.capacity_bytes
    assert made.gpu_hours == pytest.approx(8 * made.seconds / 3600) and made.money is None
    for part in ("Wan2.1's published shape", "TFLOP/s", "483 s", "money left out", "SLURM", "checkpoint"):
        assert part in as_text(made)


def test_money_is_that_of_all_gpus_from_start_to_end(wan):
    wan.cost.gpu_hour = 2.5
    made = plan_estimate(wan)
    assert made.money == pytest.approx(2.5 * 8 * made.seconds / 3600)
    wan.cost.gpu_hour = -1.0
    assert "cost.gpu_hour=-1.0 must be at least 0" in refusal_of(wan)


def test_rows_of_several_shapes_are_added_up(wan, tmp_path):
    rows = [{"prompt": f"fox {number}"} for number in range(3)]
    rows += [{"prompt": "large fox", "size": "720x1280", "seeds": 2}, {"prompt": "draft", "num_steps": 20}]
    made = plan_estimate(with_batch(wan, tmp_path, rows))
    assert sorted(kind.num_left for kind in made.kinds) == [1, 2, 3]
    assert made.num_left == 6
    expected = made.start_seconds + sum(kind.num_left * kind.seconds.total for kind in made.kinds)
    assert made.seconds == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"estimate.gpu": "L4"}, ["estimate.gpu=L4 must be one of: A800, H100, H20, H200"]),
        ({"estimate.gpu": None}, ["estimate.gpu is not set", "H100"]),
        ({"estimate.gpus": 0}, ["estimate.gpus=0 must be at least 1"]),
        ({"cluster.num_gangs": 2, "parallel.ranks": 8}, ["do not fit 8 GPUs", "nearest: cluster.num_gangs=1"]),
        ({"cluster.device": "cpu"}, ["wan2.1_t2v_14b needs a GPU"]),
        ({"model.name": "mine"}, ["model.path=nobody/has-this-model is not on this machine", "wan2.1_t2v_14b"]),
        ({"estimate.measured": "/nowhere"}, ["estimate.measured=/nowhere holds no video"]),
        (
            {"estimate.gpus": 1, "video.height": 720, "video.width": 1280, "model.dtype": "float32"},
            ["720x1280, 81 frames on 1 × H100", "at denoise", "nearest that fits: model.dtype=bfloat16"],
        ),
        ({"slurm.time": "soon"}, ["slurm.time=soon must be a time"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(wan, changes, parts):
    for name, value in changes.items():
        set_value(wan, name, value)
    line = refusal_of(wan)
    for part in parts:
        assert part in line


def test_objective_chooses_the_gangs(wan, tmp_path):
    wan.job.objective, wan.cluster.num_gangs = "throughput", None
    made = plan_estimate(with_batch(wan, tmp_path, [{"prompt": "fox", "seeds": 100}]))
    assert made.gangs.number * made.gangs.layout.world_size == 8 and made.gangs.number > 1
    assert "for throughput" in as_text(made)


def test_array_shares_the_batch_and_pays_for_all_tasks(wan, tmp_path):
    wan.cluster.kind, wan.cluster.num_gangs, wan.estimate.gpus = "ray", None, None
    wan = with_batch(wan, tmp_path, [{"prompt": "fox", "seeds": 80}])
    alone = plan_estimate(wan)
    wan.slurm.array = 4
    shared = plan_estimate(wan)
    assert shared.num_tasks == 4 and shared.place.is_slurm
    assert shared.seconds - shared.start_seconds == pytest.approx((alone.seconds - alone.start_seconds) / 4)
    assert alone.gpu_hours < shared.gpu_hours < 4 * alone.gpu_hours
    wan.slurm.array_at_once = 2
    assert plan_estimate(wan).seconds == pytest.approx(2 * shared.seconds)


def test_limit_that_no_video_fits_is_refused_for_a_job(wan):
    wan.cluster.kind, wan.estimate.gpus, wan.slurm.time = "ray", None, "6m"
    assert "slurm.time=6m is too short for one video" in refusal_of(wan)


def test_ray_cluster_is_not_joined_so_its_gpus_must_be_said(wan):
    wan.cluster.kind, wan.cluster.address, wan.estimate.gpus = "ray", "head:6379", None
    assert "estimate.gpus is not set: an estimate joins no Ray cluster" in refusal_of(wan)


def records_of(demo: EstimateConfig, folder, **changes) -> None:
    """Make a run's records those of this model."""
    fingerprint = model_facts(demo.model).fingerprint
    for file in folder.glob("*/video.json"):
        record = json.loads(file.read_text())
        record["model"]["fingerprint"] = fingerprint
        file.write_text(json.dumps(record | changes))


def test_earlier_run_is_believed_where_it_rendered_the_same(demo, write_run):
    run = write_run(3, full=0.5, forecast=0.1, began=12.0)
    records_of(demo, run)
    demo.estimate.measured = str(run)
    made = plan_estimate(demo)
    [kind] = made.kinds
    rounds = kind.seconds.rounds
    expected = 0.5 * rounds.num_full + 0.1 * (rounds.num_steps - rounds.num_full) + 0.02 + 0.05 + 0.4 + 0.3
    assert kind.seconds.total == pytest.approx(expected, rel=0.01)
    assert made.start_seconds == pytest.approx(12.0, abs=0.01)
    assert made.seconds == pytest.approx(12.0 + expected, rel=0.01)
    assert f"3 videos of {run.name}" in as_text(made) and "no GPU" in as_text(made)


def test_earlier_run_of_another_layout_is_not_believed(demo, write_run):
    run = write_run(3, full=50.0)
    records_of(demo, run)
    demo.estimate.measured, demo.parallel.ulysses = str(run), 1
    [kind] = plan_estimate(demo).kinds
    assert "timed here just now" in kind.seconds.basis and kind.seconds.full_round < 25


def test_gangs_that_crowd_the_cores_are_slower_than_one_was(demo, write_run, tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.estimate_plan.count_cpus", lambda: 2)
    run = write_run(3, full=0.5)
    records_of(demo, run)
    demo.estimate.measured = str(run)
    [alone] = plan_estimate(demo).kinds
    demo.cluster.num_gangs = 3
    [crowded] = plan_estimate(demo).kinds
    assert crowded.seconds.total == pytest.approx(3 * alone.seconds.total)


def test_gpu_is_the_one_that_the_earlier_run_names(wan, write_run):
    run = write_run(1, device="NVIDIA H200")
    wan.estimate.gpu, wan.estimate.measured = None, str(run)
    made = plan_estimate(wan)
    assert made.gangs.costs.chip.name == "H200" and f"the records of {run.name}" in made.place.basis


def test_done_videos_are_left_out(demo):
    first = plan_estimate(demo)
    assert first.num_left == 1
    from orchestrator.launch_plan import plan_launch

    demo.cluster.kind = "local"
    [video_id] = plan_launch(demo).entries
    folder = plan_launch(demo).run_folder.video(video_id)
    folder.root.mkdir(parents=True)
    folder.sidecar.write_text("{}")
    folder.video.touch()
    made = plan_estimate(demo)
    assert (made.num_left, made.seconds) == (0, 0) and "1 of them done" in as_text(made)


def test_programs_get_every_figure_in_plain_values(wan):
    made = plan_estimate(wan)
    said = json.loads(json.dumps(as_json(made)))
    assert said["seconds"] == made.seconds and said["gpu_hours"] == made.gpu_hours and said["money"] is None
    [kind] = said["kinds"]
    assert kind["seconds"] < kind["seconds_all_full"] and kind["basis"].startswith("H100")
    assert kind["memory"]["peak"] / GIB < 60 and kind["checkpoint"]["full"] > kind["checkpoint"]["latents"]
    assert said["slurm"]["num_tasks"] == 1 and said["gangs"]["layout"] == {"cfg": 2, "ring": 1, "ulysses": 4}


def test_workers_that_decode_take_it_from_the_gang(wan):
    [alone] = plan_estimate(wan).kinds
    wan.decode = replace(wan.decode, workers=1, parallel=False)
    [beside] = plan_estimate(wan).kinds
    assert beside.seconds.decode == 0 < alone.seconds.decode
    assert beside.memory.decode == 0 < alone.memory.decode


def test_gpus_of_decode_workers_are_not_the_gangs(wan):
    wan.decode = replace(wan.decode, workers=2, device="cuda", parallel=False)
    wan.cluster.num_gangs, wan.parallel.ranks = None, 2
    made = plan_estimate(wan)
    assert made.gangs.number == 1 and made.gpus == 4
    assert "decode workers are taken to keep up" in as_text(made)
    wan.cluster.num_gangs = 4
    assert "do not fit 6 GPUs" in refusal_of(wan)
