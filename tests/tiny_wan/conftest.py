import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """On a busy machine two threads wait for each other in every operator; these models are too small for that."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
