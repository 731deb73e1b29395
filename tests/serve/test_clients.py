"""The public clients themselves, each in an environment of its own, against a server that runs as a process.

``LITEBERT_CLIENTS`` is a folder with an environment for each, see docs/serving.md; a client that is not there is skipped.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.conftest import GENERAL, VECTORS

SCRIPTS = Path(__file__).parent / "clients"
CLIENTS = {
    "openai": "openai_client.py", "huggingface_hub": "huggingface_hub_client.py", "cohere": "cohere_client.py",
    "langchain": "langchain_client.py", "llama_index": "llama_index_client.py", "tritonclient": "tritonclient_client.py",
    "infinity": "infinity_api_client.py",
}  # fmt: skip
"""Folder of the environment, and what is run in it."""

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def environments():
    folder = os.environ.get("LITEBERT_CLIENTS")
    if not folder:
        pytest.skip("LITEBERT_CLIENTS names no folder with the clients' environments (docs/serving.md)")
    return Path(folder)


@pytest.fixture(scope="module")
def address(environments, tiny_models):
    command = [sys.executable, "-m", "litebert", "serve", GENERAL, VECTORS, *map(str, tiny_models.values())]
    child = subprocess.Popen([*command, "--port", "0", "--json", "--log", "off"], stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(child.stdout.readline())["data"]["address"]
    finally:
        child.terminate()
        child.wait(30)


def run(*command):
    hidden = {"HF_TOKEN", "HF_HOME"}  # a client would send the token along
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
    parts = [str(one) for one in command]
    done = subprocess.run(parts, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0 and done.stdout.startswith("ok"), done.stdout + done.stderr


@pytest.mark.parametrize("name", CLIENTS)
def test_python_client(environments, address, name):
    python = environments / name / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no {python}")
    run(python, SCRIPTS / CLIENTS[name], address)


def test_javascript_client(environments, address):
    folder, node = environments / "node", shutil.which("node")
    if node is None or not (folder / "node_modules").is_dir():
        pytest.skip(f"node, or {folder}/node_modules, is not there")
    run(node, SCRIPTS / "huggingface_inference.mjs", address, folder)
