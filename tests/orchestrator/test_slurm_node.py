"""Addresses, ports and folders of a job's node."""

import socket

import pytest

from orchestrator.slurm_node import EXIT_NOT_SHARED, free_ports, main, make_private, own_address


def test_address_of_an_interface_is_taken_when_asked_for():
    assert own_address(interface="lo", peer="192.0.2.1") == "127.0.0.1"
    with pytest.raises(ValueError, match=r"slurm\.interface=ib7 has no IPv4 address here; interfaces: .*lo"):
        own_address(interface="ib7", peer="192.0.2.1")


def test_loopback_is_taken_only_where_there_is_nothing_else():
    found = own_address(interface=None, peer="127.0.0.1")
    assert found == own_address(interface=None, peer="192.0.2.1")


def test_ports_in_use_are_passed_over():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = free_ports(port, count=2)
        assert found > port and (found - port) % 2 == 0


def test_folder_is_closed_to_others_and_somebody_else_s_is_refused(tmp_path):
    folder = make_private(tmp_path / "own" / "folder")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="not this user's own"):
        make_private(folder)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(PermissionError):
        make_private(tmp_path / "link")


def test_node_that_does_not_see_the_output_folder_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("orchestrator.slurm_node.WITNESS_SECONDS", 0)
    arguments = [f"--tmp={tmp_path}/t", "--cpus=1", "--gpus=0", "--object-store-mb=80"]
    status = main([*arguments, f"--witness={tmp_path}/none", "--says=x"])
    assert status == EXIT_NOT_SHARED
    assert "not shared" in capsys.readouterr().out
