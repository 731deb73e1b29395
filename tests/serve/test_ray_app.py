"""The server as a deployment of Ray Serve: settings from its arguments, and answers through its proxy."""

import json
import socket
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi")

import litebert
from litebert.errors import ConfigError, MachineError, UsageError
from litebert.serve import ray_app
from litebert.serve.keys import VARIABLE
from tests.serve.conftest import VECTORS


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def settings_of(**args):
    return ray_app._settings(ray_app._given(args), 2.0)


def test_arguments_are_settings():
    found = settings_of(models="a=x, y", no_auth="true", **{"engine.precision": "int8", "max_queue_ms": "500"})
    assert found.models == ("a=x", "y") and found.max_queue_ms == 500.0
    assert (found.engine.precision, found.engine.threads) == ("int8", 2)
    typed = settings_of(models=["x"], no_auth=True, engine={"threads": 1})
    assert typed.models == ("x",) and typed.engine.threads == 1
    for wrong, words in (({"port": "1"}, "Ray's business"), ({"modells": "x"}, "models"), ({}, "nothing to serve")):
        with pytest.raises((UsageError, ConfigError)) as caught:
            settings_of(no_auth="true", **wrong)
        assert words in str(caught.value)


def test_no_replica_is_open_by_mistake(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="no key"):
        settings_of(models="x")
    monkeypatch.setenv(VARIABLE, "one, two")
    assert settings_of(models="x", api_keys="three").api_keys == (
        "three",
        "one",
        "two",
    )  # replicas have another environment
    monkeypatch.delenv(VARIABLE)
    (tmp_path / "keys").write_text("four\n")
    assert settings_of(models="x", api_key_file=str(tmp_path / "keys")).api_keys == ()


def test_without_ray_serve_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MachineError) as caught:
        ray_app.build({"models": VECTORS})
    assert "litebert[ray-serve]" in str(caught.value)


@pytest.fixture(scope="module")
def address():
    serve = pytest.importorskip("ray.serve", reason="needs the extra ray-serve")
    import ray

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        application = ray_app.build(
            {"models": VECTORS, "api_keys": "secret", "log": "off", "max_client_batch_size": "8", "replicas": "2"}
        )
        serve.run(application, name="litebert")
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


def ask(address, path, body=None, key="secret"):
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, data, headers), timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_same_answers_through_rays_proxy(address):
    texts = ["where is my card?", "rain falls"]
    expected = [answer.vector for answer in litebert.load(VECTORS)(texts)]
    with ThreadPoolExecutor(32) as pool:  # many more than Ray would let a replica have by default
        answers = list(pool.map(lambda _: ask(address, "/embed", {"inputs": texts}), range(64)))
    for status, vectors in answers:
        assert status == 200
        for vector, right in zip(vectors, expected, strict=True):
            assert vector == pytest.approx(right.tolist(), abs=1e-5)
    assert ask(address, "/v1/models")[1]["data"][0]["id"] == VECTORS


def test_the_guard_is_there_too(address):
    assert ask(address, "/embed", {"inputs": "a"}, key=None)[0] == 401
    assert ask(address, "/embed", {"inputs": ["a"] * 9})[0] == 422
    assert ask(address, "/nowhere")[0] == 404
    assert ask(address, "/readyz", key=None)[0] == 200
