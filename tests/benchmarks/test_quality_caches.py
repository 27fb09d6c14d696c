"""diffusers' caches on the demo model: run for real, counted, and taken off again without a trace."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.demo_model import DemoModel
from benchmarks.quality_caches import CachedPipeline, CacheKind, CacheSettings
from benchmarks.quality_regimes import HARD
from benchmarks.quality_thresholds import first_block_cache, mag_cache, sea_cache, taylorseer
from orchestrator.similarity import psnr
from spectrum import Features, ForecastSettings, Method, PlanShape

pytestmark = pytest.mark.usefixtures("one_thread")

NUM_STEPS = 14
REQUEST = replace(HARD.requests(1)[0], num_steps=NUM_STEPS)


@pytest.fixture(scope="module")
def pipeline():
    return CachedPipeline()


@pytest.fixture(scope="module")
def model():
    return DemoModel()


@pytest.fixture(scope="module")
def reference(model):
    return model.render(REQUEST)


def test_stock_pipeline_renders_what_the_engine_renders(pipeline, reference):
    plain = pipeline.render(REQUEST, None)
    np.testing.assert_array_equal(plain.frames, reference.frames)
    assert plain.num_full_rounds == NUM_STEPS


def test_first_block_cache_runs_the_first_block_alone_after_the_first_round(pipeline):
    never = pipeline.render(REQUEST, first_block_cache(1e9))
    blocks = len(pipeline._pipeline.transformer.blocks)
    assert never.num_full_rounds == pytest.approx(1 + (NUM_STEPS - 1) / blocks)
    assert pipeline.render(REQUEST, first_block_cache(0.0)).num_full_rounds == NUM_STEPS


def test_taylorseer_is_the_engines_taylor_forecast_of_the_velocity(pipeline, model, reference):
    """Two implementations, theirs and ours, of one formula: full rounds 0, 1, 2 and every 7th from 4 on."""
    theirs = pipeline.render(REQUEST, taylorseer(10, use_lite_mode=True))
    settings = ForecastSettings(
        method=Method.TAYLOR, features=Features.VELOCITY, plan_shape=PlanShape.LIST, full_steps=(0, 1, 2, 4, 11)
    )
    ours = model.render(replace(REQUEST, forecast=settings))
    assert theirs.num_full_rounds == ours.num_full_rounds == 5
    assert psnr(ours.frames, theirs.frames) > 60
    assert psnr(ours.frames, theirs.frames) > psnr(reference.frames, theirs.frames) + 20


def test_taylorseers_own_patterns_name_nothing_of_wan(pipeline, reference):
    idle = pipeline.render(REQUEST, taylorseer(10))
    np.testing.assert_array_equal(idle.frames, reference.frames)
    assert idle.num_full_rounds == NUM_STEPS


MAG = mag_cache(0.1, [0.99] * NUM_STEPS)


@pytest.mark.parametrize(
    "cache",
    [sea_cache(3.0), replace(MAG, options={**MAG.options, "num_inference_steps": NUM_STEPS})],
    ids=lambda cache: cache.kind,
)
def test_others_skip_rounds(cache, pipeline, reference):
    cached = pipeline.render(REQUEST, cache)
    assert 2 <= cached.num_full_rounds < NUM_STEPS
    assert psnr(reference.frames, cached.frames) < 60


def test_a_cache_leaves_nothing_behind(pipeline, reference):
    for cache in (first_block_cache(0.5), sea_cache(0.5), taylorseer(10, use_lite_mode=True)):
        pipeline.render(REQUEST, cache)
        np.testing.assert_array_equal(pipeline.render(replace(REQUEST), None).frames, reference.frames)


def test_settings_make_the_librarys_configuration():
    config = CacheSettings(kind=CacheKind.SEA, options={"threshold": 0.7}).config()
    assert (type(config).__name__, config.threshold) == ("SeaCacheConfig", 0.7)
    with pytest.raises(TypeError):
        CacheSettings(kind=CacheKind.SEA, options={"treshold": 0.7}).config()
