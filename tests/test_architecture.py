"""Folders are the architecture: imports point one way, and nothing patches what it imports."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
RUNTIME_ROOMS = ("orchestrator", "parallel", "spectrum", "conf")
ROOMS = (*RUNTIME_ROOMS, "tiny_wan", "benchmarks")
MOST_LINES = 400

Source = tuple[str, ast.Module]
"""A module's path within the project, and its syntax tree."""


def sources(*rooms: str) -> list[Source]:
    files = [file for room in rooms for file in sorted((PROJECT / room).rglob("*.py"))]
    assert files, f"no modules in {rooms}"
    return [(file.relative_to(PROJECT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))) for file in files]


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """Full names of what a module imports, wherever in it; `from a import b` as "a.b"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room they lead to"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_packages(tree: ast.Module) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(tree)}


def who_imports(package: str, *rooms: str) -> set[str]:
    return {path for path, tree in sources(*rooms) if package in imported_packages(tree)}


def test_spectrum_needs_torch_and_the_standard_library_alone():
    allowed = sys.stdlib_module_names | {"torch", "spectrum"}
    for path, tree in sources("spectrum"):
        also = {"diffusers"} if path == "spectrum/diffusers_hook.py" else set()
        assert imported_packages(tree) <= allowed | also, path


def test_parallel_knows_nothing_of_forecasts_ray_hydra_or_the_orchestrator():
    allowed = sys.stdlib_module_names | {
        "torch",
        "diffusers",
        "xfuser",
        "distvae",
        "yunchang",
        "accelerate",
        "safetensors",
        "parallel",
    }
    for path, tree in sources("parallel"):
        assert imported_packages(tree) <= allowed, path


def test_orchestrator_alone_brings_spectrum_and_parallel_together():
    for room in ("spectrum", "parallel"):
        for other in {"spectrum", "parallel", "orchestrator", "conf"} - {room}:
            assert who_imports(other, room) == set()


def test_ray_is_imported_in_four_modules():
    ray = {f"orchestrator/ray_{name}.py" for name in ("pool", "gang", "cluster", "metrics")}
    assert who_imports("ray", *ROOMS) == ray


def test_hydra_is_imported_by_the_commands_alone():
    entries = ("launch", "calibrate", "submit", "estimate", "command")
    commands = {f"orchestrator/{name}.py" for name in entries}
    assert who_imports("hydra", *ROOMS) == commands
    assert who_imports("omegaconf", *ROOMS) == commands | {"orchestrator/literal_arguments.py"}


def test_jobs_process_needs_the_standard_library_and_psutil_alone():
    """It may run outside of the container that has everything else."""
    trees = dict(sources(*ROOMS))
    seen: set[str] = set()
    todo = ["orchestrator/slurm_job.py"]
    while todo:
        path = todo.pop()
        seen.add(path)
        assert imported_packages(trees[path]) <= sys.stdlib_module_names | {"psutil", "orchestrator"}, path
        names = {name.replace(".", "/") + ".py" for name in parents(imported_modules(trees[path]))}
        todo += (names & trees.keys()) - seen


def test_demo_models_code_is_no_part_of_the_runtime():
    assert who_imports("tiny_wan", *RUNTIME_ROOMS) == set()
    assert who_imports("benchmarks", *RUNTIME_ROOMS, "tiny_wan") == set()
    assert who_imports("tests", *ROOMS) == set()


def test_configuration_and_jobs_hold_no_code():
    assert [file.name for file in (PROJECT / "conf").rglob("*.py")] == ["__init__.py"]
    [(_, conf)] = sources("conf")
    assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in conf.body)
    assert list((PROJECT / "jobs").rglob("*.py")) == []


@pytest.mark.parametrize("room", ROOMS)
def test_modules_are_small(room):
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in (PROJECT / room).rglob("*.py")}
    assert {str(file): length for file, length in lengths.items() if length > MOST_LINES} == {}


def root_name(node: ast.expr) -> str | None:
    """`a` of `a.b.c`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def bound_by_import(tree: ast.Module) -> set[str]:
    """Names that an import binds anywhere in the module."""
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def assigned(tree: ast.Module) -> Iterator[ast.expr]:
    """Everything that is assigned to or deleted, tuples taken apart."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                todo = list(targets)
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target, value=ast.expr()):
                todo = [target]
            case _:
                continue
        while todo:
            target = todo.pop()
            if isinstance(target, ast.Tuple | ast.List):
                todo += target.elts
            else:
                yield target


def patches(tree: ast.Module) -> list[str]:
    """Assignments that change something that was imported, or how an object behaves that was given."""
    imported = bound_by_import(tree)
    found = [
        ast.unparse(target)
        for target in assigned(tree)
        if isinstance(target, ast.Attribute)
        and (root_name(target) in imported or target.attr in ("forward", "__class__", "__call__"))
    ]
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[subject, *_]) if (
                root_name(subject) in imported
            ):
                found.append(ast.unparse(node))
            case ast.Global():
                found.append(ast.unparse(node))
    return found


def test_nothing_is_patched_but_what_libraries_lack_on_the_cpu():
    """Wrap, never patch; and no state in module globals."""
    found = {path: patches(tree) for path, tree in sources(*ROOMS)}
    del found["parallel/cpu.py"]
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_module_for_the_cpu_is_imported_late_and_in_one_place():
    """So that it is never imported where there is a GPU."""
    importers = {path for path, tree in sources(*ROOMS) if "parallel.cpu" in {*parents(imported_modules(tree))}}
    assert importers == {"parallel/apply.py", "parallel/xfuser_attention.py"}
    [(_, tree)] = [source for source in sources("parallel") if source[0] == "parallel/apply.py"]
    at_the_top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    assert not any(name.startswith("parallel.cpu") for name in imported_modules(at_the_top))


def parents(names: Iterator[str]) -> Iterator[str]:
    """Each name and the modules that it lies in."""
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.accelerator.device_count = lambda: 1",
        "import torch.nn\ntorch.nn.Linear.bias = 1",
        "from diffusers import WanPipeline\nWanPipeline.check_inputs = None",
        "def f(model):\n    model.forward = None",
        "def f(model):\n    model.x, model.__class__ = 1, object",
        "import os\nsetattr(os, 'name', 'nt')",
        "import os\ndel os.fork",
        "from os import path as p\np.sep += '/'",
        "def f():\n    global counter",
    ],
)
def test_a_patch_is_noticed(code):
    assert patches(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.environ['A'] = 'b'",
        "def f(transformer, trunk):\n    transformer.blocks = [trunk]",
        "class A:\n    def __init__(self, x):\n        self.x = x",
        "import sys\nsys.argv[1:] = []",
    ],
)
def test_what_is_no_patch_is_let_pass(code):
    assert patches(ast.parse(code)) == []


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("import a.b, c as d", ["a.b", "c"]),
        ("def f():\n    from a.b import c", ["a.b.c"]),
        ("if True:\n    import ray", ["ray"]),
    ],
)
def test_imports_are_found_wherever_they_stand(code, modules):
    assert list(imported_modules(ast.parse(code))) == modules
