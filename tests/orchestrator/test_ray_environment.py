"""What Ray is told before it is imported."""

import os

import pytest

from orchestrator.ray_environment import prepare_environment

COLLECTS = "RAY_enable_metrics_collection"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for variable in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[variable]


def test_nothing_is_reported_to_anyone():
    prepare_environment(own_cluster=True)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_own_cluster_is_closed_to_others_with_a_token_of_its_own():
    tokens = set()
    for _ in range(2):
        prepare_environment(own_cluster=True)
        assert os.environ["RAY_AUTH_MODE"] == "token"
        tokens.add(os.environ["RAY_AUTH_TOKEN"])
    assert len(tokens) == 2
    assert all(len(token) >= 32 for token in tokens)


def test_only_an_own_cluster_is_closed_to_other_machines():
    """The name is Ray's own; that it does so is seen on the sockets of a whole launch."""
    prepare_environment(own_cluster=False)
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ
    prepare_environment(own_cluster=True)
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


@pytest.mark.parametrize("token", [None, "the cluster's"])
def test_cluster_that_is_joined_keeps_the_users_token(token):
    if token is not None:
        os.environ["RAY_AUTH_TOKEN"] = token
    prepare_environment(own_cluster=False)
    assert os.environ.get("RAY_AUTH_TOKEN") == token


def test_own_cluster_opens_a_port_for_numbers_only_where_they_are_asked_for():
    prepare_environment(own_cluster=True)
    assert os.environ[COLLECTS] == "0"
    prepare_environment(own_cluster=True, metrics=True)
    assert os.environ[COLLECTS] == "1"


def test_cluster_that_is_joined_decides_on_its_numbers_itself():
    prepare_environment(own_cluster=False, metrics=True)
    assert COLLECTS not in os.environ
