"""Reads the imports of a package, without running it, and tells what breaks the layers."""

import ast
import dataclasses
import graphlib
import pathlib
import sys

PACKAGE = "dfjax"

# DESIGN's layers. A room may import rooms of lower layers and itself; the config may also use what the core has.
LAYERS = {
    "core": 0,
    "config": 1,
    "register": 3,
    "diffusion": 2,
    "weights": 2,
    "models": 3,
    "checkpoint": 3,
    "runtime": 3,
    "parallel": 4,
    "objective": 4,
    "pretrained": 5,
    "inputs": 6,
    "data": 7,
    "sample": 7,
    "datasets": 8,
    "assembly": 9,
    "training": 10,
    "plan": 11,
    "evals": 11,
    "report": 11,
    "face": 12,
    "launching": 12,
    "sweeps": 13,
    "cli": 14,
}

# Rooms whose own imports are limited to these packages, besides Python's library.
ONLY = {
    "core": {"jax", "numpy", "jaxtyping", "safetensors"},
    "diffusion": {"jax", "jaxtyping", "numpy"},
}
# What a room does without, though its layer would allow it: mathematics reads no file and no config.
WITHOUT = {
    "diffusion": {"config", "io", "json", "logging", "os", "pathlib", "shutil", "socket", "subprocess", "tempfile"},
    "inputs": {"tensorflow", "tensorflow_datasets", "grain", "optax", "orbax"},
    "models": {"config", "tensorflow", "tensorflow_datasets", "grain", "optax", "orbax"},
    "sample": {"tensorflow", "tensorflow_datasets", "grain", "clu", "optax"},
    # It reads what stands on the disk.
    "report": {"sample", "training", "evals", "data", "inputs", "models", "tensorflow"},
}


@dataclasses.dataclass(frozen=True)
class Import:
    """``module`` imports ``target``; ``lazy`` if it does so inside a function."""

    module: str
    target: str
    lazy: bool

    @property
    def rooms(self) -> tuple[str, str]:
        return room(self.module), room(self.target)


def room(module: str) -> str:
    """The room of a module of the package; "" for the package itself."""
    return f"{module}..".split(".")[1]


def read(root: pathlib.Path) -> list[Import]:
    """Every import of the package that lies in the folder ``root``."""
    files = {name_of(path, root): path for path in sorted(root.rglob("*.py"))}
    return [found for module, path in files.items() for found in _imports(module, path, files)]


def name_of(path: pathlib.Path, root: pathlib.Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(module: str, path: pathlib.Path, files: dict[str, pathlib.Path]) -> list[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    lazy = {inner for outer in ast.walk(tree) if isinstance(outer, functions) for inner in ast.walk(outer)}
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(module, alias.name, node in lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*start, node.module]))
            # `from dfjax.core import rng` imports the module dfjax.core.rng.
            names = [f"{base}.{alias.name}" for alias in node.names]
            found += [Import(module, name if name in files else base, node in lazy) for name in names]
    return found


def breaches(imports: list[Import]) -> list[str]:
    """Lines that say which import breaks which rule."""
    lines = []
    for found in imports:
        source, target = found.rooms
        package = found.target.split(".")[0]
        inside = package == PACKAGE
        name = target if inside else package
        outside_its_layer = inside and target not in ("", source) and LAYERS.get(target, 99) >= LAYERS.get(source, -1)
        foreign = not inside and package not in sys.stdlib_module_names and package not in ONLY.get(source, {package})
        if source and source not in LAYERS:
            lines.append(f"{found.module}: there is no room {source!r} in the plan")
        elif outside_its_layer:
            lines.append(f"{found.module} imports {found.target}: {target} is not below {source or 'the package'}")
        elif foreign or name in WITHOUT.get(source, ()):
            lines.append(f"{found.module} imports {found.target}: {source} does without {name}")
    return lines


def circle(imports: list[Import]) -> list[str]:
    """The modules of one circle of imports at module level; empty if there is none."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        if not found.lazy and found.module != found.target and found.target.split(".")[0] == PACKAGE:
            graph.setdefault(found.module, set()).add(found.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []
