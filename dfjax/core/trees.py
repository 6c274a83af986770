"""Trees of arrays, with each leaf's path as its name."""

from collections.abc import Callable
from typing import Any

import jax


def path_name(path: tuple[Any, ...]) -> str:
    """A leaf's path as words joined by slashes, such as ``blocks/attention/query/kernel``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def map_named(function: Callable[[str, Any], Any], tree: Any) -> Any:
    """``tree`` with each leaf replaced by ``function(name, leaf)``."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: function(path_name(path), leaf), tree)


def named_leaves(tree: Any) -> dict[str, Any]:
    """All leaves by name, in the tree's order."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def size(tree: Any) -> int:
    """The number of scalars in a tree."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
