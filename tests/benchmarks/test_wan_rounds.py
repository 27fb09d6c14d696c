"""The benchmark of the true shapes, at small ones on the CPU; its counts and its weights against what torch says."""

import ast
import json
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.wan_models import build_transformer
from benchmarks.wan_rounds import PARTS, main
from benchmarks.wan_shapes import MODELS, SIZES, latent_shape, transformer_config
from parallel.wan_shapes import VideoSize, pass_flops

PROJECT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
SMALL = ["--model", "small", "--size", "small"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    file = tmp_path_factory.mktemp("wan_rounds") / "figures.json"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert main([*SMALL, "--quick", "--best", "--json", str(file)]) == 0
    torch.set_num_threads(threads)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    return json.loads(file.read_text())


def test_every_part_leaves_figures(figures):
    assert set(figures["parts"]) == {"rates", *PARTS}
    assert figures["skipped"] == figures["failed"] == {}
    assert figures["machine"]["torch"] == torch.__version__


def test_full_rounds_are_compared_with_the_floor_and_the_stock_step(figures):
    floor, stock = figures["parts"]["rates"]["floor"], figures["parts"]["rounds"]["stock"]
    engine = figures["parts"]["rounds"]["engine, native attention, eager"]
    assert engine["over_floor"] == pytest.approx(engine["seconds"] / floor["seconds"])
    assert engine["over_stock"] == pytest.approx(engine["seconds"] / stock["seconds"])
    assert engine["is_finite"]
    assert floor["round_flops"] == 2 * floor["pass_flops"]
    assert floor["seconds"] == pytest.approx(floor["round_flops"] / max(figures["parts"]["rates"]["matmul"].values()))


def test_backends_that_cannot_be_had_are_lines_with_a_reason(figures):
    attention = figures["parts"]["attention"]
    assert attention["native"]["pass_difference"] == 0
    assert "flash-attn" in attention["flash"]["error"]
    assert "error" in attention["_native_cudnn"]


def test_compiled_blocks_compute_the_same_in_the_engine(figures):
    assert figures["parts"]["compile"]["gain"]["difference"] < 1e-2


def test_forecasts_are_measured_at_the_sizes_that_the_plan_has(figures):
    forecast = figures["parts"]["forecast"]
    assert list(forecast) == [f"{snapshots} snapshots" for snapshots in range(5, 15)]
    snapshot = 48 * 64 * 2  # 3 × 4 × 4 tokens of 4 heads × 16 values, in bf16
    assert forecast["14 snapshots"]["bytes"] == 2 * (14 + 2) * snapshot


def test_renders_follow_their_plans(figures):
    renders = figures["parts"]["renders"]
    for num_full in (10, 14, 50):
        render = renders[f"{num_full} full"]
        assert len(render["full_seconds"]) == render["steps"].count("full") == num_full
        assert len(render["forecast_seconds"]) == 50 - num_full
        assert render["seconds"] >= sum(render["full_seconds"]) + sum(render["forecast_seconds"])
    speedup = renders["speedup of 14 full"]
    assert speedup["loop_speedup"] == pytest.approx(renders["50 full"]["seconds"] / renders["14 full"]["seconds"])
    assert speedup["share_of_ideal"] == pytest.approx(speedup["loop_speedup"] / (50 / 14))
    assert speedup["basis"] == "measured"
    assert speedup["stages"].keys() == {"decode", "text"}


def test_nothing_begins_that_does_not_fit_the_deadline(tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert main([*SMALL, "--deadline", "0", "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert figures["parts"] == {}
    assert set(figures["skipped"]) == {"rates", *PARTS}
    printed = capsys.readouterr().out
    assert all(f"{part}: skipped, predicted" in printed for part in PARTS)


def test_fifty_rounds_that_are_not_rendered_are_said_to_be_extrapolated(tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert main([*SMALL, "--parts", "renders", "--full-rounds", "10", "--json", str(file)]) == 0
    renders = json.loads(file.read_text())["parts"]["renders"]
    assert renders["50 full rounds"]["is_extrapolated"]
    assert "EXTRAPOLATED from 10 measured full rounds" in renders["speedup of 10 full"]["basis"]
    assert capsys.readouterr().out.count("EXTRAPOLATED") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "rounds,flops"], "flops: not among attention"),
        (["--attention", "flush"], "none of diffusers' backends"),
        (["--best", "--parts", "renders"], "add it to --parts"),
        (["--best", "--compile"], "leave out"),
        (["--full-rounds", "11"], "11: not among 10, 14, 50"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*SMALL, *arguments])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("height", "width", "num_frames"), [(64, 64, 9), (96, 48, 5)])
def test_flops_are_those_that_torch_counts(height, width, num_frames):
    shape = MODELS["small"].transformer
    size = VideoSize(height=height, width=width, num_frames=num_frames)
    transformer = build_transformer(shape, device=CPU, dtype=torch.float32)
    text = torch.randn(1, shape.num_text_tokens, shape.text_width)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        transformer(latent_shape(size).draw_noise(0), torch.tensor([500.0]), text)
    assert pass_flops(shape, size.num_tokens).total == counter.get_total_flops()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_latents_have_as_many_tokens_as_are_counted(size):
    assert latent_shape(size).num_tokens == size.num_tokens


@pytest.mark.parametrize(("model", "parameters"), [("14b", 14.29e9), ("1.3b", 1.419e9)])
def test_shapes_are_those_of_the_published_models(model, parameters):
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        transformer = WanTransformer3DModel(**transformer_config(MODELS[model].transformer))
    assert sum(parameter.numel() for parameter in transformer.parameters()) == pytest.approx(parameters, rel=0.005)


def test_weights_are_drawn_in_bf16_but_for_the_parts_kept_in_float32():
    transformer = build_transformer(MODELS["small"].transformer, device=CPU, dtype=torch.bfloat16)
    again = build_transformer(MODELS["small"].transformer, device=CPU, dtype=torch.bfloat16)
    dtypes = {name: parameter.dtype for name, parameter in transformer.named_parameters()}
    assert dtypes["blocks.0.attn1.to_q.weight"] == dtypes["proj_out.weight"] == torch.bfloat16
    assert dtypes["blocks.0.norm2.weight"] == dtypes["scale_shift_table"] == torch.float32
    assert dtypes["condition_embedder.time_embedder.linear_1.weight"] == torch.float32
    assert transformer.rope.freqs_cos.device == CPU
    for one, two in zip(transformer.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert transformer.blocks[0].ffn.net[2].weight.std().item() == pytest.approx(0.02, rel=0.05)


def project_imports(name, seen):
    """Names of every module outside the project that importing `name` may import; late imports are left out."""
    file = PROJECT / (name.replace(".", "/") + ".py")
    file = file if file.is_file() else PROJECT / name.replace(".", "/") / "__init__.py"
    if name in seen or not file.is_file():
        return set() if name in seen else {name.split(".")[0]}
    seen.add(name)
    outside = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        outside |= {found for imported in names for found in project_imports(imported, seen)}
    return outside


def test_it_runs_where_torch_and_diffusers_are():
    outside = project_imports("benchmarks.wan_rounds", set())
    assert outside - sys.stdlib_module_names == {"torch", "diffusers"}
