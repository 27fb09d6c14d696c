"""The interface that a rank talks through, on this machine's own interfaces."""

import os
import socket

import pytest

from parallel.network import interface_of, use_interface_of

VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


def test_loopback_address_belongs_to_the_loopback_interface():
    name = interface_of("127.0.0.1")
    assert name in {known for _, known in socket.if_nameindex()}
    assert name.startswith("lo")


def test_address_of_no_interface_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"203\.0\.113\.7.*127\.0\.0\.1"):
        interface_of("203.0.113.7")  # reserved for documentation


@pytest.mark.parametrize("malformed", ["", "localhost", "127.0.0.01", "::1"])
def test_what_is_no_ipv4_address_is_refused(malformed):
    with pytest.raises(ValueError, match="no network interface"):
        interface_of(malformed)


def test_both_backends_are_told_nccl_so_that_it_takes_no_other_name_that_begins_alike(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "to be restored")
        monkeypatch.delenv(variable)
    use_interface_of("127.0.0.1")
    name = interface_of("127.0.0.1")
    assert [os.environ[variable] for variable in VARIABLES] == [name, f"={name}"]


def test_interfaces_that_the_user_named_are_kept(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib0")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "ib1")
    use_interface_of("203.0.113.7")  # not even looked up
    assert [os.environ[variable] for variable in VARIABLES] == ["ib0", "ib1"]
