"""What can be chosen by name: one registry a kind, and the names that dfjax, a recipe or a notebook put there.

A name is not code: only dfjax itself, a recipe or a program that uses the library registers. What stands in a
checkpoint, a data set or a file of weights is looked up here, and never imports anything.
"""

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, overload

from dfjax.core.errors import WRONG_USE, DfjaxError

T = TypeVar("T")

# Of a longer name the start is enough to find the nearest one, in time.
_LONGEST_NAME = 100


class RegistryError(DfjaxError, KeyError):
    """A name that nothing is registered under, or that is taken."""

    status = WRONG_USE

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Mapping[str, Any]):
    """The things of one kind by name, in the order in which they were registered.

    dfjax's own are registered by the module ``home`` as it is imported, which happens when they are first asked for;
    one that is heavy to import is registered :meth:`later`.
    """

    def __init__(self, kind: str, home: str):
        """``kind``: what its things are, in the words of an error. ``home``: a module."""
        self.kind, self._home = kind, home
        self._things: dict[str, Any] = {}
        self._own: set[str] = set()
        self._is_home = False

    @overload
    def register(self, name: str, thing: T) -> T: ...
    @overload
    def register(self, name: str) -> Callable[[T], T]: ...
    def register(self, name: str, thing: Any = None) -> Any:
        """Put ``thing`` under ``name``; without it, a decorator that does. Registering anew replaces, dfjax's own not.

        Raises:
          RegistryError: dfjax has something of its own under that name, or it is no plain word.
        """
        if thing is None:
            return lambda thing: self.register(name, thing)
        if not name.isidentifier():
            raise RegistryError(f"a {self.kind} needs a name of letters, digits and _, not {name[:_LONGEST_NAME]!r}")
        self._go_home()
        if name in self._own:
            raise RegistryError(f"dfjax has a {self.kind} {name!r} of its own: choose another name")
        self._things[name] = thing
        return thing

    def _add(self, name: str, thing: Any) -> Any:
        self._things[name] = thing
        self._own.add(name)
        return thing

    @overload
    def own(self, name: str, thing: T) -> T: ...
    @overload
    def own(self, name: str) -> Callable[[T], T]: ...
    def own(self, name: str, thing: Any = None) -> Any:
        """As :meth:`register`, for what belongs to dfjax; called by the home alone."""
        return (lambda thing: self._add(name, thing)) if thing is None else self._add(name, thing)

    def later(self, name: str, place: str) -> None:
        """One of dfjax's own that is imported when it is asked for, from ``module:attribute`` or a module."""
        self._add(name, _Place(place))

    def forget(self) -> None:
        """Take away all that a program registered, as a test does. dfjax's own stay."""
        self._things = {name: thing for name, thing in self._things.items() if name in self._own}

    def _go_home(self) -> None:
        if not self._is_home:
            self._is_home = True
            importlib.import_module(self._home)

    def __getitem__(self, name: str) -> Any:
        """Raises RegistryError, with the nearest name, where there is none."""
        self._go_home()
        if name not in self._things:
            close = difflib.get_close_matches(str(name)[:_LONGEST_NAME], self._things, n=1, cutoff=0.0)
            raise RegistryError(
                f"there is no {self.kind} {str(name)[:_LONGEST_NAME]!r}, but {', '.join(self._things)}; did you mean "
                f"{close[0] if close else ''!r}? One of your own is registered by its recipe or program, before that"
            )
        thing = self._things[name]
        if isinstance(thing, _Place):
            module, _, attribute = thing.partition(":")
            found = importlib.import_module(module)
            thing = self._things[name] = getattr(found, attribute) if attribute else found
        return thing

    def __iter__(self) -> Iterator[str]:
        self._go_home()
        return iter(tuple(self._things))

    # One is another than any other, whatever both hold.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __len__(self) -> int:
        self._go_home()
        return len(self._things)

    def __contains__(self, name: object) -> bool:
        self._go_home()
        return name in self._things


class _Place(str):
    """Where something is to be imported from."""


SCHEDULES = Registry("noise schedule", "dfjax.diffusion.schedule")
PREDICTIONS = Registry("prediction", "dfjax.diffusion.prediction")
LOSSES = Registry("loss weight", "dfjax.diffusion.weighting")
TIMESTEPS = Registry("density of t", "dfjax.diffusion.timesteps")
SAMPLERS = Registry("sampler", "dfjax.diffusion.samplers")
GRIDS = Registry("step grid", "dfjax.diffusion.grids")
GUIDANCE = Registry("kind of guidance", "dfjax.diffusion.guidance")
DENOISERS = Registry("denoiser", "dfjax.models")
OBJECTIVES = Registry("objective", "dfjax.objective")
CODECS = Registry("codec", "dfjax.inputs")
CONDITIONERS = Registry("conditioner", "dfjax.inputs")
SOURCES = Registry("data source", "dfjax.data")
OPTIMIZERS = Registry("optimizer", "dfjax.training")
EVALUATORS = Registry("evaluator", "dfjax.evals.evaluators")
FEATURES = Registry("network of features", "dfjax.pretrained")
