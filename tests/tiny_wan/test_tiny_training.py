import pytest
import torch
from torch import nn

from tiny_wan import state
from tiny_wan.build import build, main, quick_settings
from tiny_wan.optimisation import FlatGradients, MovingAverage, learning_rate_factor, matrix_view
from tiny_wan.train_transformer import encode_text, shuffled_rows
from tiny_wan.training import Budget, Moment


def last_losses(folder, name):
    return state.load(folder / name)["losses"]


@pytest.mark.parametrize(("stage", "field"), [("autoencoder",) * 2, ("transformer",) * 2])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, stage, field):
    settings = quick_settings(tmp_path, tmp_path / "weights", ["latents"])
    settings.num_workers, settings.num_clips = 0, 4
    if stage == "transformer":
        build(settings)
    settings.stages = [stage]
    losses = []
    for stops in ([3], [1, 3]):
        (tmp_path / f"{stage}.pt").unlink(missing_ok=True)
        for steps in stops:
            stop_at(settings, field, steps)
            build(settings)
        losses.append(last_losses(tmp_path, f"{stage}.pt"))
    uninterrupted, resumed = losses
    assert len(resumed) == 3
    assert resumed == uninterrupted


def stop_at(settings, field, steps):
    """Stop after `steps` of a course that is always three steps long, as an interruption would."""

    class Interrupted(Budget):
        def progress(self, step, seconds):
            return 1.0 if step >= steps else step / 3

    setattr(settings, f"{field}_budget", Interrupted(steps=3))


@pytest.mark.parametrize(("minutes", "steps"), [(None, None), (1.0, 10)])
def test_a_budget_is_minutes_or_steps(minutes, steps):
    with pytest.raises(ValueError, match="minutes or steps"):
        Budget(minutes=minutes, steps=steps)


def test_a_budget_of_minutes_is_used_up_by_time():
    assert Budget(minutes=2.0).progress(step=10**6, seconds=60.0) == 0.5
    assert Budget(minutes=0.0).progress(step=0, seconds=0.0) == 1.0


def test_no_sample_is_taken_twice():
    moments = [Moment(step=step, progress=0.0, rank=rank, num_workers=2) for step in range(5) for rank in range(2)]
    taken = [index for moment in moments for index in moment.indices(3)]
    assert sorted(taken) == list(range(30))


def test_every_epoch_takes_every_row_once_in_another_order():
    first, second = shuffled_rows(range(10), 10).tolist(), shuffled_rows(range(10, 20), 10).tolist()
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_a_convolution_seen_as_a_matrix_shares_its_memory(memory_format):
    weight = torch.randn(6, 4, 3, 3, 3).to(memory_format=memory_format)
    matrix = matrix_view(weight)
    assert matrix.shape == (6, 108)
    matrix.zero_()
    assert weight.abs().sum() == 0


def test_gradients_land_in_the_flat_buffer():
    layer = nn.Conv3d(2, 3, 3).to(memory_format=torch.channels_last_3d)
    flat = FlatGradients(list(layer.parameters()), extra=1)
    layer(torch.randn(1, 2, 4, 4, 4)).square().sum().backward()
    expected = torch.cat([layer.weight.grad.flatten(), layer.bias.grad]).norm()
    torch.testing.assert_close(flat.buffer.norm(), expected)
    flat.clip(1e-3)
    torch.testing.assert_close(
        layer.weight.grad.norm().square() + layer.bias.grad.norm().square(), torch.tensor(1e-6)
    )


def test_the_average_follows_the_weights():
    parameter = nn.Parameter(torch.zeros(1))
    average = MovingAverage([parameter], decay=0.9)
    parameter.data.fill_(1.0)
    values = []
    for step in range(60):
        average.update(step)
        values.append(float(average.values[0]))
    assert values == sorted(values)
    assert 0.99 < values[-1] < 1.0


def test_the_learning_rate_rises_stays_and_falls():
    assert learning_rate_factor(0, 0.0) < 0.1
    assert learning_rate_factor(1000, 0.3) == 1.0
    assert 0.4 < learning_rate_factor(1000, 0.66) < 0.6
    assert learning_rate_factor(1000, 1.0) == pytest.approx(0.02)


def test_embeddings_are_zero_past_the_caption_as_in_the_pipeline():
    from tiny_wan.architecture import build_text_encoder, build_tokenizer
    from tiny_wan.train_transformer import tokenize

    ids, mask = tokenize(build_tokenizer(), ["a red circle", ""])
    embeds = encode_text(build_text_encoder(), ids, mask)
    assert embeds[0, 4:].abs().sum() == 0
    assert embeds[1, 1:].abs().sum() == 0
    assert embeds[1, 0].abs().sum() > 0


def test_quick_weights_never_replace_the_real_ones():
    with pytest.raises(SystemExit):
        main(["--quick"])
