"""How ranks find each other, on real sockets. Groups of several processes stand in the other tests of this folder."""

import socket
from datetime import timedelta

import psutil
import pytest
import torch

from parallel import process_group
from parallel.layout import AttentionEngine, Layout
from parallel.process_group import (
    Rendezvous,
    check_world,
    join_from_environment,
    join_group,
    leave_group,
    open_store,
    reach_store,
    torchrun_ranks,
)


def test_what_one_rank_puts_into_the_store_another_reads():
    store, rendezvous = open_store("127.0.0.1")
    assert rendezvous.host == "127.0.0.1"
    assert rendezvous.port > 0
    store.set("key", "from rank 0")
    other = reach_store(rendezvous)
    assert other.get("key") == b"from rank 0"


def test_store_listens_on_its_host_alone():
    _, rendezvous = open_store("127.0.0.1")
    own = [one.laddr for one in psutil.Process().net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert [address.ip for address in own if address.port == rendezvous.port] == ["127.0.0.1"]


def test_stores_of_several_gangs_have_ports_of_their_own():
    stores = [open_store("127.0.0.1") for _ in range(5)]
    assert len({rendezvous.port for _, rendezvous in stores}) == 5


def test_store_that_is_not_there_is_an_error_in_time(monkeypatch):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # taken, and nobody listens
        port = held.getsockname()[1]
        monkeypatch.setattr(process_group, "JOIN_TIMEOUT", timedelta(seconds=1))
        with pytest.raises(torch.distributed.DistError):
            reach_store(Rendezvous(host="127.0.0.1", port=port))


@pytest.mark.parametrize(
    ("device", "engine", "bound"),
    [
        ("cuda:1", AttentionEngine.DIFFUSERS, torch.device("cuda:1")),
        ("cuda:1", AttentionEngine.XFUSER, None),
        ("cpu", AttentionEngine.DIFFUSERS, None),
    ],
)
def test_group_is_bound_to_its_gpu_but_where_xfuser_makes_groups_of_it(monkeypatch, device, engine, bound):
    given = []
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda **fields: given.append(fields["device_id"]))
    join_group(None, rank=0, world_size=1, device=torch.device(device), engine=engine)
    join_from_environment(torch.device(device), engine=engine)
    assert given == [bound, bound]


def test_group_of_one_can_be_joined_and_left_again():
    for _ in range(2):
        store, _ = open_store("127.0.0.1")
        join_group(store, rank=0, world_size=1, device=torch.device("cpu"))
        assert torch.distributed.is_initialized()
        check_world(Layout(ulysses=1))
        with pytest.raises(ValueError, match="layout ulysses 2 needs 2 ranks, the group has 1"):
            check_world(Layout(ulysses=2))
        leave_group()
        assert not torch.distributed.is_initialized()


def test_leaving_when_not_in_a_group_does_nothing():
    leave_group()
    leave_group()
    check_world(Layout(ulysses=1))


def test_ranks_are_those_of_torchrun(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert torchrun_ranks() == (0, 1)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert torchrun_ranks() == (3, 8)
