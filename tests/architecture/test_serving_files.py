"""The files that serve from a container or a cluster: consistent with each other, and in step with the server that they start."""

import json
import re
import shlex
import signal
import tomllib
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest
import yaml

pytest.importorskip("fastapi")

from litebert.cli.main import cli
from litebert.serve import app, keys, tracing
from litebert.serve.metrics import Metrics
from litebert.serve.visit import PUBLIC
from litebert.settings import recipe_folder

ROOT = Path(__file__).parents[2]
KUBERNETES, KSERVE = recipe_folder() / "kubernetes", recipe_folder() / "kserve" / "inferenceservice.yaml"
FILES = [*sorted(KUBERNETES.glob("serve*.yaml")), KSERVE]


def one(kind):
    found = {d["kind"]: d for path in FILES for d in yaml.safe_load_all(path.read_text()) if "kind" in d}
    return found[kind]


def pod(kind):
    """The pod's own fields, and its container."""
    spec = one(kind)["spec"]
    spec = spec["predictor"] if kind == "InferenceService" else spec["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


def instructions():
    """Name and argument of each line of the Containerfile, in order."""
    lines = [line for line in (ROOT / "Containerfile").read_text().splitlines() if not line.startswith("#")]
    return [line.split(" ", 1) for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line]


def instruction(name):
    """Argument of the last one of a name."""
    return [argument.strip() for found, argument in instructions() if found == name][-1]


@pytest.fixture
def started(monkeypatch):
    """Return the settings of the server that arguments start after the container's own."""

    def start(arguments):
        seen = []
        monkeypatch.setattr("litebert.serve.server.run", lambda settings, tell: seen.append(settings))
        cli.main(json.loads(instruction("ENTRYPOINT"))[1:] + arguments, standalone_mode=False)
        return seen[0]

    before = signal.getsignal(signal.SIGTERM)
    yield start
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(params=["Deployment", "InferenceService"])
def kind(request):
    return request.param


# --- The container --------------------------------------------------------------------------------------------------------


def test_the_container_serves_what_is_bundled_where_it_is_asked(started):
    settings = started(json.loads(instruction("CMD")))
    assert (settings.host, str(settings.port)) == ("0.0.0.0", instruction("EXPOSE"))
    assert f"http://127.0.0.1:{settings.port}/livez" in instruction("HEALTHCHECK")
    bundled = {path.name for path in (ROOT / "src/litebert/resources/models").iterdir()}
    assert settings.models and set(settings.models) <= bundled  # it starts without a network
    with pytest.raises(Exception, match="no key"):  # and says so rather than be open to everybody
        keys.check_open(settings, keys.Keys())


def test_the_container_s_health_check_is_valid_python():
    options, _, command = instruction("HEALTHCHECK").partition("CMD ")
    words = json.loads(command)
    assert words[0] == "python" and "--start-period=" in options
    compile(words[-1], "health", "exec")


def test_the_server_is_the_first_process_and_nobody_of_importance():
    stage = [name for name, _ in instructions()]
    last = stage[len(stage) - 1 - stage[::-1].index("FROM") :]
    assert last.count("USER") == 1 and last.index("USER") > max(
        i for i, name in enumerate(last) if name in ("RUN", "COPY")
    )
    assert int(instruction("USER").split(":")[0]) >= 10_000
    assert json.loads(instruction("ENTRYPOINT"))[0] == "litebert"  # no shell, which would keep SIGTERM to itself


def test_the_container_writes_only_where_it_may():
    given = dict(pair.split("=", 1) for pair in shlex.split(instruction("ENV")))
    assert given["HOME"] == "/tmp" and given["HF_HOME"].startswith("/tmp/")


def test_the_container_is_built_from_what_is_there_and_sent():
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    sent = [line[1:] for line in ignored if line.startswith("!")]
    assert ignored[0] == "*" and all((ROOT / name).exists() for name in sent)
    copied = [
        word
        for name, words in instructions()
        if name == "COPY" and "--from" not in words
        for word in words.split()[:-1]
    ]
    assert all(word == "." or word in sent for word in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [
        *wheel["force-include"],
        *wheel["packages"],
        project["project"]["readme"],
        *project["project"]["license-files"],
    ]
    assert all(any(name == one or fnmatch(name, f"{one}/*") for one in sent) for name in needed)
    (extras,) = [
        words.partition("=")[2] for name, words in instructions() if name == "ARG" and words.startswith("EXTRAS=")
    ]
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])


# --- The cluster ----------------------------------------------------------------------------------------------------------


def test_the_command_line_takes_the_arguments(kind, started):
    spec, container = pod(kind)
    settings = started(container["args"])
    assert settings.port == container["ports"][0]["containerPort"]
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "keys"]
    (volume,) = [v["secret"] for v in spec["volumes"] if v["name"] == "keys"]
    assert settings.api_key_file == f"{mount['mountPath']}/{volume['items'][0]['path']}"
    comment = (KSERVE if kind == "InferenceService" else KUBERNETES / "serve.yaml").read_text().splitlines()[0]
    assert f"generic {volume['secretName']} --from-literal={volume['items'][0]['key']}=" in comment


def test_the_probes_ask_what_the_server_answers(kind):
    _, container = pod(kind)
    paths = {
        route.path: route.endpoint.__name__
        for family in app.FAMILIES for route in import_module(f"litebert.serve.routes.{family}").router.routes
    }  # fmt: skip
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert [paths[asked[name]["path"]] for name in asked] == ["live", "live", "ready"]
    names = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {names.get(get["port"], get["port"]) for get in asked.values()} == {*names.values()}


def test_a_pod_has_time_to_finish(kind, started):
    spec, container = pod(kind)
    settings = started(container["args"])
    _, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    longest = int(seconds) + settings.drain_delay + 2 * settings.shutdown_timeout + tracing._LONGEST_CLOSE
    assert spec["terminationGracePeriodSeconds"] > longest


def test_a_pod_may_do_nothing_that_it_need_not(kind):
    spec, container = pod(kind)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    user, group = map(int, instruction("USER").split(":"))
    pods = spec["securityContext"]
    assert (pods["runAsNonRoot"], pods["runAsUser"], pods["runAsGroup"], pods["fsGroup"]) == (True, user, group, group)
    assert spec["automountServiceAccountToken"] is False
    (scratch,) = [m for m in container["volumeMounts"] if m["mountPath"] == "/tmp"]
    assert {v["name"]: v for v in spec["volumes"]}[scratch["name"]]["emptyDir"]
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_the_service_and_the_budget_find_the_pods_and_the_monitor_finds_the_service():
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    service, monitor = one("Service"), one("ServiceMonitor")["spec"]
    assert service["spec"]["selector"].items() <= labels.items()
    for other in ("Deployment", "PodDisruptionBudget"):
        assert one(other)["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    (port,) = service["spec"]["ports"]
    assert endpoint["port"] == port["name"] and port["targetPort"] in [p["name"] for p in pod("Deployment")[1]["ports"]]
    assert endpoint["path"] in PUBLIC


def test_the_autoscaler_asks_for_a_figure_that_there_is(started):
    scaler = one("HorizontalPodAutoscaler")["spec"]
    target = one("Deployment")
    assert scaler["scaleTargetRef"] == {
        "apiVersion": target["apiVersion"], "kind": target["kind"], "name": target["metadata"]["name"],
    }  # fmt: skip
    assert "replicas" not in target["spec"]  # applying it again would undo what the autoscaler did
    (rule,) = yaml.safe_load((KUBERNETES / "serve-adapter.yaml").read_text())["rules"]["custom"]
    (metric,) = scaler["metrics"]
    wanted = metric["pods"]["metric"]["name"]
    series = rule["seriesQuery"].partition("{")[0]
    assert re.sub(rule["name"]["matches"], rule["name"]["as"], series) == wanted
    samples = {sample.name for family in Metrics().registry.collect() for sample in family.samples}
    named = set(re.findall(r"\blitebert_\w+", rule["seriesQuery"] + rule["metricsQuery"]))
    assert named and named <= samples
    for opening, closing in ("()", "{}", "[]"):
        assert rule["metricsQuery"].count(opening) == rule["metricsQuery"].count(closing)
    milli = metric["pods"]["target"]["averageValue"]
    assert 0 < int(milli.removesuffix("m")) < started(pod("Deployment")[1]["args"]).max_queue_ms


def test_kserve_finds_what_it_looks_for():
    _, container = pod("InferenceService")
    assert container["name"] == "kserve-container" and container["ports"][0]["name"] == "http1"
    assert {"name": "PROTOCOL", "value": "v2"} in container["env"]
    name = one("InferenceService")["metadata"]["name"]
    assert container["args"][0].partition("=")[0] == name and f"/v2/models/{name}/infer" in KSERVE.read_text()


@pytest.mark.parametrize("path", [*FILES, ROOT / "Containerfile"], ids=lambda path: path.name)
def test_no_file_names_a_place_of_its_author(path):
    text = path.read_text()
    assert not re.search(r"/(home|work|root|Users)/", text)
    hosts = set(re.findall(r"\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|io|net|local)\b", text))
    assert hosts <= {
        "registry.example.com", "app.kubernetes.io", "monitoring.coreos.com", "kubernetes.io",
        "serving.kserve.io",
    }  # fmt: skip
    addresses = set(re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text))
    assert addresses <= {"0.0.0.0", "127.0.0.1"}
