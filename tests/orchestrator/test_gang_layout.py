"""A gang's layout: chosen for the ranks at hand, taken as it was typed, or refused in one line."""

import json

import pytest
from planning import pretend_gpus, refusal_of

from orchestrator.choices import Device
from orchestrator.devices import count_cpus, count_gpus
from orchestrator.launch_plan import plan_launch
from parallel.layout import Layout

needs_no_gpu = pytest.mark.skipif(count_gpus() > 0, reason="for machines without a GPU")


def test_more_ranks_than_gpus_are_refused(config, monkeypatch):
    pretend_gpus(monkeypatch, 3)
    config.cluster.kind, config.cluster.device, config.parallel.ulysses = "local", "cuda", 2
    config.cluster.num_gangs = 2
    message = refusal_of(config)
    assert "cluster.num_gangs=2 gangs of 2 ranks (ulysses 2) need 4 GPUs, this machine has 3" in message
    config.cluster.num_gangs = 1
    assert plan_launch(config).layout.ulysses == 2


@pytest.mark.parametrize(
    ("num_gpus", "layout"),
    [
        (1, Layout()),
        (2, Layout(cfg=2)),
        (4, Layout(cfg=2, ulysses=2)),
        (8, Layout(cfg=2, ulysses=4)),
    ],
)
def test_by_default_a_gang_takes_all_gpus_in_the_layout_that_suits_the_video(config, monkeypatch, num_gpus, layout):
    pretend_gpus(monkeypatch, num_gpus)
    config.cluster.kind, config.cluster.device = "local", "auto"
    plan = plan_launch(config)
    assert plan.cluster.device is Device.CUDA
    assert plan.layout == layout


def test_in_float32_a_ring_is_neither_chosen_nor_taken_on_gpus(config, monkeypatch):
    pretend_gpus(monkeypatch, 3)
    config.cluster.kind, config.cluster.device = "local", "auto"
    message = refusal_of(config)
    assert "no layout of 3 ranks fits" in message and "nearest possible: cfg 2 (2 ranks)" in message
    config.parallel.ring = 3
    assert "parallel.ring=3" in (message := refusal_of(config))
    assert "a ring computes attention on GPUs in bfloat16 or float16 alone, and model.dtype is float32" in message
    config.model.dtype = "bfloat16"
    assert plan_launch(config).layout == Layout(ring=3)
    config.parallel.ring = None
    assert plan_launch(config).layout == Layout(ring=3)
    config.model.dtype, config.cluster.device, config.parallel.ring = "float32", "cpu", 3
    assert plan_launch(config).layout == Layout(ring=3)


def test_far_more_ranks_than_cpu_cores_are_refused(config):
    config.cluster.kind = "local"
    config.cluster.num_gangs = 4 * count_cpus() + 1
    assert f"cluster.num_gangs={config.cluster.num_gangs}" in refusal_of(config)
    config.cluster.num_gangs = 4 * count_cpus()
    assert plan_launch(config).cluster.num_gangs == 4 * count_cpus()


def test_ranks_without_ray_are_those_of_torchrun(config):
    assert plan_launch(config, torchrun_world_size=2).layout == Layout(cfg=2)
    config.parallel.ulysses = 2
    assert plan_launch(config, torchrun_world_size=2).layout == Layout(ulysses=2)
    message = refusal_of(config, torchrun_world_size=1)
    assert "the layout ulysses 2" in message and "torchrun --nproc-per-node=2" in message
    assert "the layout ulysses 2" in refusal_of(config, torchrun_world_size=4)


def test_ranks_of_torchrun_that_no_layout_fits_are_refused(config):
    config.parallel.engine = "xfuser"
    assert "no layout of 7 ranks fits" in refusal_of(config, torchrun_world_size=7)


@pytest.mark.parametrize(
    ("degrees", "ranks", "layout"),
    [
        ({"cfg": 2}, None, Layout(cfg=2)),
        ({"cfg": 2, "ulysses": 2}, 4, Layout(cfg=2, ulysses=2)),
        ({"ring": 2}, None, Layout(ring=2)),
        ({}, 4, Layout(cfg=2, ulysses=2)),
        ({}, None, Layout()),
    ],
)
def test_degrees_that_are_given_are_taken_and_the_others_are_one_or_chosen(config, degrees, ranks, layout):
    config.cluster.kind, config.parallel.ranks = "local", ranks
    for name, degree in degrees.items():
        setattr(config.parallel, name, degree)
    assert plan_launch(config).layout == layout


def test_ranks_that_are_not_the_degrees_product_are_refused(config):
    config.cluster.kind, config.parallel.ranks, config.parallel.ulysses = "local", 8, 2
    assert refusal_of(config) == "parallel.ranks=8 is not the 2 ranks of the layout ulysses 2"


def test_branches_apart_need_guidance(config):
    config.cluster.kind, config.parallel.cfg, config.denoise.guidance_scale = "local", 2, 1.0
    assert "cfg 2 needs two guidance branches" in refusal_of(config)


def test_parallel_decoding_needs_a_band_of_rows_for_each_rank(config):
    config.cluster.kind, config.parallel.ulysses, config.decode.parallel = "local", 4, True
    assert plan_launch(config).decode_parallel
    config.video.height = 48
    assert "decode.parallel=true is impossible here: 6 rows of latents" in refusal_of(config)
    config.video.height, config.decode.tiling = 96, True
    assert "decode.parallel and decode.tiling are both true" in refusal_of(config)


def test_absurd_degree_is_refused_at_once(config):
    """Without trying every degree up to it."""
    config.parallel.ulysses = 10**12
    assert "parallel.ulysses=1000000000000 must be at least 1 and at most 1024" in refusal_of(config)


def test_absurd_number_of_ranks_is_refused_by_its_own_name(config):
    config.cluster.kind, config.parallel.ranks = "local", 1_000_000_007
    assert "parallel.ranks=1000000007" in refusal_of(config)


@pytest.fixture
def mixed(config, tmp_path):
    """`mixed({"size": "80x80"}, …)`: the configuration of a batch with these rows."""

    def make(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(json.dumps({"prompt": "a circle"} | row) for row in rows))
        config.prompt, config.batch, config.cluster.kind = None, str(path), "local"
        return config

    return make


SMALL = {"size": "80x80", "num_frames": 9}
"""75 tokens."""


def test_layout_that_was_asked_for_must_fit_every_row(mixed, tmp_path):
    config = mixed({}, {}, SMALL, SMALL)
    config.parallel.ring = config.parallel.ulysses = 2
    message = refusal_of(config)
    assert message.startswith("parallel.ring=2 parallel.ulysses=2: ")
    assert "75 tokens do not divide into 4 slices" in message
    assert f"({tmp_path}/rows.jsonl line 3: 80x80, 9 frames, with guidance)" in message


def test_branches_apart_need_guidance_in_every_row(mixed):
    config = mixed({}, {"guidance_scale": 1})
    config.parallel.cfg = 2
    message = refusal_of(config)
    assert "cfg 2 needs two guidance branches" in message and "line 2" in message


def test_layout_is_chosen_that_fits_all_rows(mixed):
    config = mixed({}, {"guidance_scale": 1})
    config.parallel.ranks = 4
    assert plan_launch(config).layout == Layout(ulysses=4)
    assert plan_launch(mixed({}, SMALL)).layout == Layout(cfg=2, ulysses=2)


def test_no_layout_for_all_rows_is_refused_with_the_first_that_does_not_go_with_the_others(mixed):
    config = mixed(SMALL, SMALL, {"guidance_scale": 1})
    config.parallel.ranks, config.parallel.engine = 2, "xfuser"
    message = refusal_of(config)
    assert "no layout of 2 ranks fits all videos" in message and "(cfg 2)" in message and "line 3" in message


def test_row_that_no_layout_fits_is_named(mixed):
    config = mixed({}, SMALL | {"guidance_scale": 1})
    config.parallel.ranks, config.parallel.engine = 2, "xfuser"
    message = refusal_of(config)
    assert message.startswith("no layout of 2 ranks fits this model and video") and "line 2" in message


def test_gang_is_told_of_tokens_that_do_not_divide_in_any_row(mixed):
    config = mixed({})
    config.parallel.ulysses = 2
    assert not plan_launch(config).is_uneven
    assert plan_launch(mixed({}, SMALL)).is_uneven


def test_all_shards_have_the_layout_that_fits_the_whole_batch(mixed):
    config = mixed({}, {"guidance_scale": 1})
    config.parallel.ranks = 4
    layouts = set()
    for shard in ("1/5", "2/5", "3/5", "4/5", "5/5"):
        config.job.shard = shard
        layouts.add(plan_launch(config).layout)
    assert layouts == {Layout(ulysses=4)}


def test_parallel_decoding_is_checked_for_every_row(mixed):
    config = mixed({}, {"size": "48x96"})
    config.parallel.ulysses, config.decode.parallel = 4, True
    message = refusal_of(config)
    assert "6 rows of latents" in message and "line 2" in message
    assert "decode.tiling" in refusal_of(mixed({}, {"decode_tiling": True}))
