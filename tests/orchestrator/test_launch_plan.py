"""Every input that cannot be used is refused in one line that names field, value and what is allowed."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planning import pretend_gpus, refusal_of, set_value

from orchestrator.checks import num_tokens
from orchestrator.choices import ClusterKind, Device, DType
from orchestrator.devices import count_gpus
from orchestrator.errors import BadInput
from orchestrator.launch_plan import plan_launch
from spectrum import Method

needs_no_gpu = pytest.mark.skipif(count_gpus() > 0, reason="for machines without a GPU")


def test_plan_holds_what_was_asked_for(config, model_folder, tmp_path):
    config.negative_prompt, config.seed = "blue", 7
    config.forecast.growth = 3.0
    plan = plan_launch(config)
    [request] = plan.requests.values()
    assert (request.prompt, request.negative_prompt, request.seed) == (config.prompt, "blue", 7)
    assert (request.height, request.width, request.num_frames, request.fps) == (96, 96, 17, 8)
    assert request.forecast.method is Method.SPECTRUM
    assert request.forecast.growth == 3.0
    assert (plan.model.folder, plan.model.dtype) == (model_folder, DType.FLOAT32)
    assert (plan.cluster.kind, plan.cluster.device) == (ClusterKind.NONE, Device.CPU)
    assert plan.layout.world_size == 1
    assert plan.run_folder.root == tmp_path / "output"
    assert not plan.run_folder.root.exists(), "planning writes nothing"


def test_each_prompt_has_a_request_in_order(config, tmp_path):
    (tmp_path / "prompts.txt").write_text("one\ntwo\nthree\n")
    config.prompt, config.batch = None, str(tmp_path / "prompts.txt")
    plan = plan_launch(config)
    assert [request.prompt for request in plan.requests.values()] == ["one", "two", "three"]


def test_choices_may_be_typed_in_any_case(config):
    config.model.dtype, config.forecast.method, config.cluster.kind = "BFloat16", "Taylor", "NONE"
    plan = plan_launch(config)
    assert plan.model.dtype is DType.BFLOAT16
    assert plan.cluster.kind is ClusterKind.NONE


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("video.height", 100, ["multiple of 16", "96 or 112"]),
        ("video.width", 0, ["multiple of 16", "16"]),
        ("video.height", -96, ["positive multiple of 16"]),
        ("video.height", 15, ["multiple of 16"]),
        ("video.width", 400, ["36864 pixels", "model.max_pixels"]),
        ("video.num_frames", 16, ["4k + 1", "nearest: 13"]),
        ("video.num_frames", 0, ["4k + 1", "nearest: 1"]),
        ("video.num_frames", -3, ["4k + 1"]),
        ("video.num_frames", 37, ["at most 33", "nearest: 33"]),
        ("video.fps", 0, ["1..240"]),
        ("video.fps", 241, ["1..240"]),
        ("denoise.num_steps", 0, ["1..1000"]),
        ("denoise.num_steps", -1, ["1..1000"]),
        ("denoise.num_steps", 1001, ["1..1000"]),
        ("denoise.guidance_scale", -0.1, ["0..100"]),
        ("denoise.guidance_scale", float("nan"), ["0..100"]),
        ("denoise.guidance_scale", float("inf"), ["0..100"]),
        ("denoise.flow_shift", 0.0, ["above 0"]),
        ("denoise.flow_shift", float("nan"), ["above 0"]),
        ("seed", -1, ["0..2^63 - 1"]),
        ("seed", 2**63, ["0..2^63 - 1"]),
        ("forecast.method", "spektrum", ["spectrum", "taylor", "reuse", "none"]),
        ("forecast.warmup_steps", 0, ["at least 1"]),
        ("forecast.window", 0.5, ["at least 1"]),
        ("forecast.growth", -1.0, ["at least 0"]),
        ("forecast.growth", float("nan"), ["finite"]),
        ("forecast.degree", -1, ["at least 0"]),
        ("forecast.ridge", -0.1, ["at least 0"]),
        ("forecast.ridge", float("nan"), ["at least 0"]),
        ("forecast.blend", 1.5, ["[0, 1]"]),
        ("model.dtype", "float8", ["float32", "bfloat16", "float16"]),
        ("cluster.kind", "slurm", ["none", "local", "ray"]),
        ("cluster.device", "tpu", ["auto", "cpu", "cuda"]),
        ("cluster.num_gangs", 0, ["1"]),
        ("cluster.cpus_per_rank", 0, ["at least 1"]),
        ("cluster.object_store_mb", 10, ["at least 80"]),
        ("parallel.ulysses", 0, ["at least 1"]),
        ("parallel.ulysses", -2, ["at least 1"]),
        ("parallel.ulysses", 3, ["8 attention heads", "possible with 3 ranks: ring 3"]),
        ("parallel.ulysses", 64, ["8 attention heads", "possible with 64 ranks"]),
        ("batch", "prompts.csv", ["prompt="]),
        ("job.shard", "0/4", ["1 <= i <= n"]),
        ("output", " ", ["empty", "folder"]),
    ],
)
def test_value_that_cannot_be_is_refused(config, field, value, allowed):
    set_value(config, field, value)
    message = refusal_of(config)
    assert f"{field}={value}" in message or f"{field}={value!r}" in message
    for part in allowed:
        assert part in message


def test_no_job_is_refused_with_those_there_are(config):
    config.job.name = None
    message = refusal_of(config)
    for job in (Path(__file__).parents[2] / "conf" / "job").glob("*.yaml"):
        assert f"+job={job.stem}" in message


def test_no_prompts_are_refused(config):
    config.prompt = None
    assert refusal_of(config).startswith("no prompts: ")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=st.integers(1, 40), width=st.integers(1, 40), latent_frames=st.integers(1, 9), degree=st.integers(1, 9))
def test_sizes_and_degrees_are_accepted_exactly_if_the_model_can_do_them(
    config, height, width, latent_frames, degree
):
    config.video.height, config.video.width = 16 * height, 16 * width
    config.video.num_frames = 4 * (latent_frames - 1) + 1
    config.parallel.ulysses = degree
    tokens = latent_frames * height * width
    fits = config.video.height * config.video.width <= config.model.max_pixels
    divides = 8 % degree == 0 and tokens >= degree
    try:
        plan = plan_launch(config, torchrun_world_size=degree)
    except BadInput:
        assert not (fits and divides)
    else:
        assert fits and divides
        assert num_tokens(config.video) == tokens
        assert plan.layout.ulysses == degree


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(num_frames=st.integers(-5, 60))
def test_frames_are_one_more_than_a_multiple_of_four(config, num_frames):
    config.video.num_frames = num_frames
    if num_frames in range(1, 34, 4):
        [request] = plan_launch(config).requests.values()
        assert request.num_frames == num_frames
    else:
        message = refusal_of(config)
        nearest = int(message.rsplit("nearest: ", 1)[1])
        assert nearest in range(1, 34, 4)


@needs_no_gpu
def test_gpu_that_is_not_there_is_refused(config):
    config.cluster.device = "cuda"
    assert "cluster.device=cuda but this machine has no GPU" in refusal_of(config)


@needs_no_gpu
def test_large_model_is_refused_on_the_cpu(config):
    config.model.name, config.model.needs_gpu, config.cluster.device = "wan2.1_t2v_14b", True, "auto"
    message = refusal_of(config)
    assert message.startswith("model=wan2.1_t2v_14b needs a GPU")
    assert "model=tiny_wan" in message


def test_prompts_are_not_encoded_on_a_gpu_that_is_not_used(config):
    config.model.text_device = "cuda"
    assert "model.text_device=cuda but the ranks run on the CPU" in refusal_of(config)


def test_several_gangs_need_ray(config):
    config.cluster.num_gangs = 2
    assert "cluster.num_gangs=2 must be 1 with cluster=none" in refusal_of(config)


def test_joining_a_cluster_needs_its_address(config):
    config.cluster.kind = "ray"
    assert "cluster.address is not set" in refusal_of(config)


def test_prompt_and_batch_are_refused_together(config, tmp_path):
    config.batch = str(tmp_path / "prompts.txt")
    message = refusal_of(config)
    assert "prompt=" in message and f"batch={config.batch}" in message


def test_prompt_replaces_the_jobs_own_batch(config):
    config.job.batch = "jobs/demo_prompts.txt"
    [request] = plan_launch(config).requests.values()
    assert request.prompt == config.prompt


def test_output_that_cannot_be_made_is_refused(config, tmp_path):
    (tmp_path / "file").touch()
    config.output = str(tmp_path / "file" / "run")
    assert f"output={config.output} cannot be made" in refusal_of(config)


def test_default_output_is_named_after_the_job_and_the_batch(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config.output = None
    folders = {}
    for seed in (1, 2, 1):
        config.seed = seed
        folders.setdefault(seed, set()).add(plan_launch(config).run_folder.root)
    [[one], [two]] = folders.values()
    assert one != two
    assert one.parent == tmp_path / "outputs"
    assert one.name.startswith("demo-")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", "another"),
        ("negative_prompt", "blue"),
        ("seed", 1),
        ("video.height", 80),
        ("video.num_frames", 13),
        ("video.fps", 9),
        ("denoise.num_steps", 9),
        ("denoise.guidance_scale", 4.0),
        ("denoise.flow_shift", 5.0),
        ("forecast.growth", 3.0),
        ("forecast.method", "none"),
        ("model.dtype", "bfloat16"),
        pytest.param(
            *("model.max_sequence_length", 8),
        ),
    ],
)
def test_whatever_decides_the_pixels_changes_the_id(config, field, value):
    [before] = plan_launch(config).requests
    set_value(config, field, value)
    [after] = plan_launch(config).requests
    assert after != before


def test_layout_and_cluster_do_not_change_the_id(config):
    [alone] = plan_launch(config).requests
    [two] = plan_launch(config, torchrun_world_size=2).requests
    config.cluster.kind, config.parallel.ulysses, config.cluster.num_gangs = "local", 4, 2
    [gangs] = plan_launch(config).requests
    config.output, config.job.name = "elsewhere", "other"
    [elsewhere] = plan_launch(config).requests
    assert alone == two == gangs == elsewhere


def test_every_message_is_one_line_whatever_was_typed(config):
    for field in ("output", "batch", "model.path"):
        for value in ("two\nlines", "a\r\nb/\x0b", "/dev/null/x\ny"):
            old = config.output
            set_value(config, field, value)
            if field == "batch":
                config.prompt = None
            try:
                plan_launch(config)
            except BadInput as error:
                assert len(str(error).splitlines()) == 1, str(error)
            config.output = old


@pytest.mark.parametrize("field", ["output", "model.path"])
@pytest.mark.parametrize("value", ["~nosuchuser/folder", "x" * 300])
def test_path_that_no_system_can_have_is_refused(config, field, value):
    set_value(config, field, value)
    assert f"{field}=" in refusal_of(config)


@pytest.mark.parametrize("field", ["forecast.ridge", "forecast.window", "forecast.growth"])
def test_infinite_setting_is_refused(config, field):
    set_value(config, field, float("inf"))
    assert f"{field}=inf" in refusal_of(config)


def test_negative_order_is_refused_by_taylor(config):
    config.forecast.method, config.forecast.order = "taylor", -1
    assert "forecast.order=-1 must be at least 0" in refusal_of(config)


def test_cluster_in_capitals_has_its_gpus_elsewhere_too(config, monkeypatch):
    pretend_gpus(monkeypatch, 0)
    config.model.needs_gpu, config.cluster.device, config.cluster.address = True, "auto", "head:6379"
    for kind in ("ray", "RAY"):
        config.cluster.kind = kind
        assert plan_launch(config).cluster.device is Device.CUDA


@pytest.mark.parametrize("field", ["cluster.device", "model.text_device"])
def test_auto_may_be_typed_in_any_case(config, field):
    set_value(config, field, "Auto")
    assert plan_launch(config)


@pytest.mark.parametrize("tokens", [0, -5])
def test_fewer_text_tokens_than_one_are_refused(config, tokens):
    config.model.max_sequence_length = tokens
    assert f"model.max_sequence_length={tokens} must be at least 1" in refusal_of(config)


@pytest.mark.parametrize("name", ["../../elsewhere", "a/b", "", "."])
def test_job_name_that_leads_elsewhere_is_refused(config, name):
    config.output, config.job.name = None, name
    assert "job.name=" in refusal_of(config)


def test_svd_is_refused_where_a_layout_splits_the_tokens_of_a_video(config):
    config.forecast.method = "svd"
    config.cluster.kind, config.parallel.ulysses = "local", 2
    message = refusal_of(config)
    assert message.startswith(
        "forecast.method=svd needs all tokens of a video on one rank, and the layout (ulysses 2)"
    )
    config.parallel.ulysses = 1
    assert plan_launch(config).layout.world_size == 1
