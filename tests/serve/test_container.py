"""What the first process of a container has to do itself, because no init does."""

import os
import signal

import pytest

pytest.importorskip("fastapi")

from litebert.cli.main import cli
from litebert.serve import server


def test_sigterm_ends_it_while_the_models_are_loaded(monkeypatch):
    """The kernel keeps SIGTERM from a first process that has no handler: it would load to the end and then be killed."""

    def load(_settings):
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN, before)
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("it went on")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(server, "make_app", load)
    try:
        with pytest.raises(SystemExit) as caught:
            cli.main(["serve", "any", "--port", "0", "--log", "off"], standalone_mode=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.code == 128 + signal.SIGTERM
