"""Write docs/api.md: what is stable of dfjax, from its docstrings."""

import inspect
import pathlib
import re

import dfjax

PAGE = pathlib.Path(__file__).with_name("api.md")
HEAD = """# API

Written by `make docs` from the docstrings. These names, as `dfjax.NAME`, are stable; every module below `dfjax/` that
is not named here is internal and may change. [tutorial.md](tutorial.md) uses most of them.
"""


def page() -> str:
    """The page."""
    parts = [HEAD]
    for name in dfjax.__all__:
        if name == "__version__":
            continue
        thing = getattr(dfjax, name)
        parts.append(_entry(f"dfjax.{name}", thing, "##"))
        if inspect.ismodule(thing):
            parts.append(_registered(thing))
        elif _is_plain_class(thing):
            own = {key: value for key, value in vars(thing).items() if not key.startswith("_") and _has_words(value)}
            parts += [_entry(f"{name}.{key}", value, "###") for key, value in own.items()]
    return "\n".join(parts).rstrip() + "\n"


def _has_words(thing) -> bool:
    return bool((inspect.isfunction(thing) or isinstance(thing, property)) and thing.__doc__)


def _entry(name: str, thing, level: str) -> str:
    signature = _signature(thing) if inspect.isfunction(thing) or _is_plain_class(thing) else ""
    words = inspect.cleandoc(inspect.getdoc(thing) or "")
    return f"{level} {name}\n\n```\n{name}{signature}\n\n{words}\n```\n"


def _is_plain_class(thing) -> bool:
    return inspect.isclass(thing) and not issubclass(thing, Exception)


def _signature(thing) -> str:
    """The parameters without their types, which jaxtyping makes longer than the words are."""
    found, shown = inspect.signature(thing).parameters.values(), []
    for parameter in found:
        default = parameter.default
        if default is inspect.Parameter.empty:
            value = ""
        else:
            value = f"={default!r}" if isinstance(default, int | float | str | bool | tuple | None) else "=..."
        if (
            parameter.kind is inspect.Parameter.KEYWORD_ONLY
            and "*" not in shown
            and not any(one.startswith("*") for one in shown)
        ):
            shown.append("*")
        stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        shown.append(f"{stars}{parameter.name}{value}")
    return f"({', '.join(one for one in shown if one != 'self')})"


def _registered(module) -> str:
    """The functions of ``dfjax.register``, with what each takes, which stands in a comment above it."""
    source = inspect.getsource(module)
    rows = re.findall(r"((?:^# .*\n)+)^(\w+) = registry\.", source, flags=re.M)
    lines = [f"| `{name}` | {' '.join(line[2:] for line in said.splitlines())} |" for said, name in rows]
    return "\n".join(["| register. | what is registered |", "|---|---|", *lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE.name}")
