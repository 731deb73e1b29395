"""One server with every model, asked in this process by the tests of its routes."""

import logging

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from litebert.serve.app import make_app
from litebert.serve.settings import ServeSettings
from tests.pretrained_folders import pretrained_folder
from tests.serve.inside import PATIENCE, inside
from tests.serve.live import PATIENT
from tests.serve.tiny_models import write_tiny_models

GENERAL, VECTORS = "litebert-small-en", "litebert-small-en-embed"
"""The bundled models, which are served first."""


@pytest.fixture(autouse=True)
def usual_loggers():
    """Begin with loggers as they are at first: a server in this process sets levels, and some libraries silence whatever is there."""
    for name in ("litebert", "litebert.serve", "litebert.serve.access", "uvicorn", "opentelemetry"):
        logger = logging.getLogger(name)
        logger.disabled, logger.propagate = False, True
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory):
    """Folders of tiny models by name, see ``tiny_models.py``."""
    return write_tiny_models(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def served(tiny_models):
    """The application with the bundled models and a tiny one for each further task."""
    models = (GENERAL, VECTORS, *map(str, tiny_models.values()))
    return make_app(ServeSettings(models=models, **PATIENT))


@pytest.fixture(scope="session")
def client(served):
    """A client of ``served``; an exception in the server is an answer, as it is for everybody else."""
    with TestClient(served, raise_server_exceptions=False) as found:
        yield found


@pytest.fixture(scope="session")
def post(client):
    """Post JSON; return what is answered, which must be JSON, and must have the status named."""

    def send(path, body, status=200, **options):
        answer = client.post(path, json=body, **options)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    return send


@pytest.fixture
def make_client():
    """Start a server of its own with other settings: ``make_client(models=..., **settings)``."""
    open_ones = []

    def make(*, models=(VECTORS,), **settings):
        app = make_app(ServeSettings(**{"models": tuple(map(str, models)), **PATIENT, **settings}))
        found = TestClient(app, raise_server_exceptions=False)
        found.__enter__()
        open_ones.append(found)
        return found

    yield make
    for one in open_ones:
        one.__exit__(None, None, None)


@pytest.fixture(scope="session")
def small(tmp_path_factory, tiny_models):
    """An application that answers every route, to be asked anything: tiny models and a FAQ. Slowness is not what is looked for."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "faq.csv").write_text(
        "question,answer\nWhen do you open?,At nine.\nWhat is it?,Ten francs.\nWhere?,By the lake.\n"
    )
    settings = ServeSettings(
        models=(str(pretrained_folder(folder / "general")), VECTORS, *map(str, tiny_models.values())),
        faq=f"faq={folder / 'faq.csv'}", log="off", max_queue_ms=1000 * PATIENCE, request_timeout=PATIENCE, read_timeout=PATIENCE,
        hang_timeout=PATIENCE,
    )  # fmt: skip
    with inside(make_app(settings)) as found:
        yield found
