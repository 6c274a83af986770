"""Finds, in Python source, what would run or import what a file holds."""

import ast
from collections.abc import Iterator

MODULES = frozenset(
    {
        "pickle",
        "_pickle",
        "cPickle",
        "dill",
        "cloudpickle",
        "joblib",
        "marshal",
        "shelve",
        "runpy",
        "imp",
        "code",
        "yaml",
    }
)
CALLS = frozenset(
    {
        "eval", "exec", "compile", "__import__",
        "importlib.import_module", "importlib.__import__",
        "torch.load", "os.system", "os.popen",
        "subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output",
        "tfds.builder_from_directory",
    }
)  # fmt: skip


def uses(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of each forbidden import or call."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield node.lineno, str(node.module)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            pickled = any(word.arg == "allow_pickle" for word in node.keywords)
            if name in CALLS or pickled:
                yield node.lineno, f"{name}(allow_pickle=...)" if pickled else name
