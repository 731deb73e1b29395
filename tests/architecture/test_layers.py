"""The arrow rule, sizes, lazy imports, optional dependencies, file names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "litebert"

LEVELS = [
    {"__main__"},
    {"cli"},
    {"serve", "studies"},
    {"search"},
    {"inference"},
    {"tasks"},
    {"pretrain"},
    {"train"},
    {"corpus"},
    {"checkpoint"},
    {"model", "text"},
    {"report", "settings", "cluster", "resume", "processors"},
    {"files"},
    {"config"},
    {"errors"},
]
"""From top to bottom; a module may import from levels below its own. Where the design puts two packages on one level, the one that
needs the other stands above it here, so that no cycle can arise."""

RANK = {name: i for i, level in enumerate(LEVELS) for name in level}
MODULES = sorted(p for p in SOURCE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "common", "helpers", "misc", "util", "helper"}


def package_of(path):
    relative = path.relative_to(SOURCE)
    return relative.parts[0].removesuffix(".py")


def imported(path):
    """All litebert modules a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "litebert")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "litebert":
                yield from (f"litebert.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith("litebert."):
                folder = SOURCE.joinpath(*node.module.split(".")[1:])
                for alias in node.names:
                    is_module = (folder / f"{alias.name}.py").is_file()
                    yield f"{node.module}.{alias.name}" if is_module else node.module


def arrows(path):
    for name in imported(path):
        target = name.split(".")[1]
        if target != package_of(path):
            yield target


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_arrows_point_down(path):
    own = package_of(path)
    if own == "__init__":  # the façade names everything, lazily
        return
    assert own in RANK, f"{own} has no level: decide where it belongs"
    for target in arrows(path):
        assert target in RANK, f"{path} imports {target}, which has no level"
        assert RANK[target] > RANK[own], f"{path.relative_to(SOURCE)} imports {target}: an upward arrow"


def test_the_rule_sees_an_upward_arrow(tmp_path):
    """The test itself: function-level imports count."""
    bad = SOURCE / "model" / "albert.py"
    code = bad.read_text() + "\n\ndef late():\n    from litebert.tasks import registry\n    import litebert.cli.main\n"
    probe = tmp_path / "albert.py"
    probe.write_text(code)
    assert {"litebert.tasks.registry", "litebert.cli.main"} <= set(imported(probe))


def test_no_cycles_inside_a_package():
    """Modules of one package may import each other, but not in a circle."""
    graph = {}
    for path in MODULES:
        name = "litebert." + ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        graph[name] = set(imported(path))
    state = {}

    def visit(name, trail):
        if state.get(name) == "done" or name not in graph:
            return
        assert state.get(name) != "open", " -> ".join([*trail, name])
        state[name] = "open"
        for target in graph[name]:
            visit(target, [*trail, name])
        state[name] = "done"

    for name in graph:
        if name != "litebert.__init__":
            visit(name, [])


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_sizes_and_heads(path):
    """At most 500 lines a file, 60 a function; a first line that says what the file is."""
    text = path.read_text()
    assert text.count("\n") <= 500
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no module docstring"
    assert path.stem not in FORBIDDEN_NAMES
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            doc = ast.get_docstring(node, clean=False)
            code = length - (doc.count("\n") + 1 if doc else 0)
            assert code <= 60, f"{node.name} has {code} lines"


def test_the_encoder_fits_one_screenful_of_reading():
    assert (SOURCE / "model" / "albert.py").read_text().count("\n") <= 350


def test_the_network_knows_torch_only():
    for path in (SOURCE / "model").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                root = name.split(".")[0]
                assert root in {"torch", "litebert", "__future__"} or root in sys.stdlib_module_names, f"{path}: {name}"


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *arguments], capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize(
    "code",
    [
        "import litebert",
        "import litebert; litebert.AlbertConfig.preset('base-v2')",
        "from litebert.cli.main import run; assert run(['--help']) == 0",
        "from litebert.cli.main import run; assert run(['finetune', '--help']) == 0",
        "import litebert.text",
    ],
)
def test_no_torch_where_none_is_needed(code):
    """The time itself is not asserted (machines differ); what would cost it is."""
    loaded = {line.rsplit("|", 1)[1].strip() for line in run(code).stderr.splitlines() if "|" in line}
    for heavy in ("torch", "transformers", "sklearn", "scipy", "pyarrow", "huggingface_hub"):
        assert heavy not in loaded


OPTIONAL = (
    "transformers",
    "tensorboard",
    "matplotlib",
    "pytest",
    "hypothesis",
    "selectolax",
    "py3langid",
    "rensa",
    "ray",
    "fsspec",
    "onnx",
    "onnxruntime",
    "openvino",
    "lancedb",
    "qdrant_client",
    "pymilvus",
    "milvus_lite",
    "grpc",
)


def test_every_module_imports_with_core_dependencies_only():
    names = [
        "litebert." + ".".join(p.relative_to(SOURCE).with_suffix("").parts) for p in MODULES if p.stem != "__main__"
    ]
    code = f"""
import importlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
for name in {names!r}:
    importlib.import_module(name.removesuffix(".__init__"))
print("imported", len({names!r}))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"imported {len(names)}" in result.stdout


def test_transformers_is_no_runtime_dependency():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert all(a.name.split(".")[0] != "transformers" for a in node.names), path
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] != "transformers", path
