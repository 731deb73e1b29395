import pytest

from tests.pretrained_folders import pretrained_folder


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory):
    """A pretrained folder of 32 positions; tests do not change it."""
    return pretrained_folder(tmp_path_factory.mktemp("pretrained"))
