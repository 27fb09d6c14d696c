import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing import ProcessRaisedException

from tiny_wan import state
from tiny_wan.training import Budget, Trainer
from tiny_wan.workers import run_workers


class LineTask:
    """Fit a linear map; worker r of a step sees other samples than worker s."""

    muon_rate, adam_rate, ema_decay = 0.1, 0.1, 0.9

    def __init__(self):
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)
        self.matrices, self.others = [self.layer.weight], [self.layer.bias]

    def loss(self, moment):
        rows = [torch.randn(4, generator=torch.Generator().manual_seed(i)) for i in moment.indices(4)]
        inputs = torch.stack(rows)
        return (self.layer(inputs) - inputs.flip(-1)).square().mean()


def train_line(path):
    trainer = Trainer(LineTask(), Budget(steps=100), path)
    trainer.run()
    gathered = [torch.zeros(4, 4) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, trainer.parameters[0].detach())
    assert all(torch.equal(gathered[0], other) for other in gathered)


def test_two_workers_agree_and_learn(tmp_path):
    run_workers(2, train_line, tmp_path / "line.pt")
    losses = state.load(tmp_path / "line.pt")["losses"]
    assert losses[-1] < 0.5 * losses[0]


def fail_on_rank_one():
    if dist.get_rank() == 1:
        raise RuntimeError("broken on purpose")
    dist.barrier()


def test_a_failing_worker_fails_the_run():
    with pytest.raises(ProcessRaisedException, match=r"broken on purpose|Connection closed|Connection reset"):
        run_workers(2, fail_on_rank_one)


def test_no_workers_means_this_process():
    seen = []
    run_workers(0, seen.append, 1)
    assert seen == [1]
