"""The search space: which parameters may vary, and how."""

from __future__ import annotations

import json
import keyword
import math
import sys
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from parafree.core._expression import Expression, Symbol
from parafree.core._parameters import Bool, Choice, Int, Parameter, Real, is_number, plain
from parafree.core.errors import SpaceError

if TYPE_CHECKING:
    import jax

__all__ = ["Bool", "Choice", "Int", "Real", "Space"]

ROUNDS = 1024
"""How often ``Space.sample`` draws again for the points that break a constraint."""

_TYPES: dict[str, type[Parameter]] = {"real": Real, "int": Int, "choice": Choice, "bool": Bool}
_NAMES = {kind: name for name, kind in _TYPES.items()}


class Space:
    """The parameters that may vary, with conditions and constraints among them.

    A point of the space has three forms. A *configuration* is what a user writes and reads:
    a dictionary of values, without the parameters that are not active. A *unit point* is a row
    of the unit cube, one column per parameter that varies. *Array form* is in between, for
    computing on many points at once: a dictionary of arrays, in which a choice is the index of
    its option and parameters that are not active hold a value nobody reads.

    Args:
        parameters: the parameters by name; a plain value is a parameter that is fixed.
        constraints: expressions over the names that must be true. One that names a parameter
            that is not active does not count.
        **named: the same as ``parameters``, as keywords.

    Raises:
        SpaceError: when no such space can exist.

    Example:
        >>> space = Space(
        ...     lr=Real(1e-4, 1.0, log=True),
        ...     optimizer=Choice(["sgd", "adam"]),
        ...     momentum=Real(0.0, 0.99, when="optimizer == 'sgd'"),
        ...     epochs=10,
        ... )
        >>> space.config([0.5, 0.9, 0.1])
        {'lr': 0.01..., 'optimizer': 'adam', 'epochs': 10}
        >>> space.dimension
        3
    """

    def __init__(
        self,
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        constraints: Sequence[str] = (),
        **named: Any,
    ) -> None:
        if not isinstance(parameters, Mapping | None):
            raise SpaceError(
                f"parameters must be a dictionary, not {parameters!r}",
                where="Space",
                fix="write Space(lr=Real(0, 1)) or Space({'lr': Real(0, 1)})",
            )
        both = sorted(set(parameters or ()) & set(named))
        if both:
            raise SpaceError(
                f"the name {both[0]!r} is given twice", where="Space", fix="remove one of them"
            )
        everything = {**(parameters or {}), **named}
        if not everything:
            raise SpaceError("the space has no parameters", where="Space", fix="say what may vary")
        for name in everything:
            _check_name(name)
        self._free: dict[str, Parameter] = {}
        self._fixed: dict[str, Any] = {}
        for name, parameter in everything.items():
            if isinstance(parameter, Parameter):
                self._free[name] = parameter
            else:
                self._fixed[name] = plain(parameter, name)
        self._template = {name: self._fixed.get(name) for name in everything}
        self._parse_expressions(constraints)
        self._prepare()

    def _parse_expressions(self, constraints: Sequence[str]) -> None:
        if isinstance(constraints, str | Real | Int | Choice | Bool) or not isinstance(
            constraints, Iterable
        ):
            raise SpaceError(
                f"constraints must be a list of expressions, not {constraints!r}",
                where="constraints",
                fix="write constraints=['low < high']; a parameter with this name can be given "
                "as Space({'constraints': ...})",
            )
        scope = {
            name: self._free[name].symbol if name in self._free else Symbol("fixed", value=value)
            for name, value in self._template.items()
        }
        self._constraints = tuple(
            Expression(text, scope, f"constraint {i}") for i, text in enumerate(constraints, 1)
        )
        for rule in self._constraints:
            if not rule.names and not rule.holds({}):
                raise SpaceError(
                    f"the constraint {rule.text!r} is never true",
                    where=rule.owner,
                    fix="it names no parameter that varies; change or remove it",
                )
        conditions = {
            name: Expression(parameter.when, scope, f"condition of {name!r}")
            for name, parameter in self._free.items()
            if parameter.when is not None
        }
        try:
            order = TopologicalSorter({n: c.names for n, c in conditions.items()}).static_order()
            self._conditions = {name: conditions[name] for name in order if name in conditions}
        except CycleError as error:
            raise SpaceError(
                "conditions go round in a circle: " + " -> ".join(error.args[1]),
                where=f"condition of {error.args[1][0]!r}",
                fix="remove one of the conditions",
            ) from None

    def _prepare(self) -> None:
        """Look up once what the functions for single configurations need for every trial."""
        self._names = tuple(self._free)
        self._picks = tuple(p.pick for p in self._free.values())
        rules = [*self._constraints, *self._conditions.values()]
        self._used = {n: self._free[n] for rule in rules for n in rule.names}
        # Options are compared by their index, so only these need looking up.
        self._indexed = {
            name: parameter
            for name, parameter in self._used.items()
            if isinstance(parameter, Choice) and not parameter.numeric
        }
        self._static = {n: p for n, p in self._free.items() if p.static}
        self._constant = {n: v for n, v in self._fixed.items() if not is_number(v)}
        self._numbers = {n: v for n, v in self._fixed.items() if is_number(v)}

    # What the space is --------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that vary, in the order of the unit cube's columns."""
        return self._names

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The parameters that vary, by name."""
        return MappingProxyType(self._free)

    @property
    def fixed(self) -> Mapping[str, Any]:
        """The values that are fixed, by name."""
        return MappingProxyType(self._fixed)

    @property
    def constraints(self) -> tuple[str, ...]:
        """The constraints as they were written."""
        return tuple(rule.text for rule in self._constraints)

    @property
    def dimension(self) -> int:
        """How many parameters vary: the number of columns of a unit point."""
        return len(self._names)

    @property
    def static_names(self) -> tuple[str, ...]:
        """The parameters that change shapes."""
        return tuple(self._static)

    def static_groups(self) -> int:
        """Return how many combinations of static values there are at most.

        Conditions and constraints may rule some of them out.
        """
        return math.prod(p.cardinality for p in self._static.values() if not isinstance(p, Real))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __repr__(self) -> str:
        parts = [f"{n}={self._free.get(n, self._fixed.get(n))!r}" for n in self._template]
        if self._constraints:
            parts.append(f"constraints={list(self.constraints)!r}")
        return f"Space({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Space.from_dict, (self.to_dict(),)

    # Many points at once ------------------------------------------------------------------

    def decode(self, u: Any) -> dict[str, Any]:
        """Turn unit points into array form; the same inside ``jax.jit``.

        Args:
            u: points of the unit cube, shape ``(..., dimension)``.

        Returns:
            One array per parameter that varies: floats for a real (float64 with NumPy, the
            dtype of ``u`` but at least float32 with JAX), ints, bools, indices of options.

        Raises:
            SpaceError: when the last axis of ``u`` is not ``dimension``, or when a NumPy ``u``
                holds NaN.

        Example:
            >>> Space(x=Real(0, 10), n=Int(1, 3)).decode(np.array([[0.5, 0.9], [1.0, 0.0]]))
            {'x': array([ 5., 10.]), 'n': array([3, 1])}
        """
        xp = _array_module(u)
        u = _floats(u, xp)
        if u.ndim == 0 or u.shape[-1] != self.dimension:
            raise _wrong_shape(u.shape, self.dimension)
        if xp is np and np.isnan(u).any():
            raise _not_a_point()
        u = xp.clip(u, 0.0, 1.0)
        return {name: p.decode(u[..., i], xp) for i, (name, p) in enumerate(self._free.items())}

    def encode(self, values: Mapping[str, Any]) -> Any:
        """Turn array form into unit points, the inverse of :meth:`decode`.

        Args:
            values: one array per parameter that varies, all of one shape ``(...)``.

        Returns:
            An array of shape ``(..., dimension)``.

        Raises:
            SpaceError: when a parameter is missing.

        Example:
            >>> Space(x=Real(0, 10), n=Int(1, 2)).encode({"x": 5.0, "n": 1})
            array([0.5 , 0.25])
        """
        xp = self._module_of(values, self._names)
        if not self._names:
            return xp.zeros((0,))
        reals = {n: _floats(values[n], xp) for n, p in self._free.items() if isinstance(p, Real)}
        dtype = max((x.dtype for x in reals.values()), key=lambda d: d.itemsize, default=float)
        columns = [
            parameter.encode(reals.get(name, values[name]), xp).astype(dtype)
            for name, parameter in self._free.items()
        ]
        return xp.stack(columns, axis=-1)

    def active(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Say which parameters exist at each point; the same inside ``jax.jit``.

        A parameter is active where its condition is true and all parameters that the condition
        names are active themselves.

        Args:
            values: points in array form.

        Returns:
            One bool array per parameter that varies.

        Example:
            >>> space = Space(deep=Bool(), layers=Int(2, 9, when="deep"))
            >>> space.active({"deep": np.array([True, False]), "layers": np.array([2, 2])})
            {'deep': array([ True,  True]), 'layers': array([ True, False])}
        """
        xp = self._module_of(values, self._names)
        return self._active(self._operands(values, xp), self._everywhere(values, xp))

    def feasible(self, values: Mapping[str, Any]) -> Any:
        """Say which points keep all constraints; the same inside ``jax.jit``.

        Inside ``jit`` expressions are computed in 32-bit floating point (unless JAX runs with
        64 bits), so whole numbers above 2**24 are compared with that precision there.

        Args:
            values: points in array form.

        Returns:
            A bool array.

        Example:
            >>> space = Space(a=Real(0, 1), b=Real(0, 1), constraints=["a < b"])
            >>> space.feasible({"a": np.array([0.1, 0.9]), "b": np.array([0.5, 0.5])})
            array([ True, False])
        """
        xp = self._module_of(values, self._names)
        everywhere = self._everywhere(values, xp)
        if not self._constraints:
            return everywhere
        operands = self._operands(values, xp)
        active = self._active(operands, everywhere)
        good = everywhere
        with np.errstate(all="ignore"):
            for rule in self._constraints:
                holds = everywhere & rule(operands)
                for name in rule.names:
                    holds = holds | ~active[name]
                good = good & holds
        return good

    def _active(self, operands: Mapping[str, Any], everywhere: Any) -> dict[str, Any]:
        active = dict.fromkeys(self._names, everywhere)
        with np.errstate(all="ignore"):
            for name, condition in self._conditions.items():
                on = everywhere & condition(operands)
                for parent in condition.names:
                    on = on & active[parent]
                active[name] = on
        return active

    def _operands(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        return {name: p.operand(values[name], xp) for name, p in self._used.items()}

    def _everywhere(self, values: Mapping[str, Any], xp: Any) -> Any:
        shape = np.broadcast_shapes(*(np.shape(values[name]) for name in self._names))
        return xp.ones(shape, dtype=bool)

    def _module_of(self, values: Mapping[str, Any], names: Iterable[str]) -> Any:
        missing = [name for name in names if name not in values]
        if missing:
            raise SpaceError(
                f"no value for {missing[0]!r}",
                where="values in array form",
                fix="give one array for each of: " + ", ".join(self._names),
            )
        return _array_module(*(values[name] for name in names))

    def sample(self, key: jax.Array, n: int) -> jax.Array:
        """Draw unit points evenly; the ones that break a constraint are drawn again.

        Works inside ``jax.jit`` with a fixed ``n``. Drawing again stops after 1024 rounds. A
        point for which all rounds failed, which happens only where far less than a thousandth
        of the cube is feasible, is a row of NaN inside ``jit``; outside it is an error.

        Args:
            key: a JAX key; the same key gives the same points.
            n: how many points.

        Returns:
            An array of shape ``(n, dimension)``.

        Raises:
            SpaceError: outside ``jit``, when no feasible point was found.

        Example:
            >>> import jax
            >>> space = Space(a=Real(0, 1), b=Real(0, 1), constraints=["a < b"])
            >>> u = space.sample(jax.random.key(0), 100)
            >>> bool(space.feasible(space.decode(u)).all())
            True
        """
        import jax

        u = self._compiled_draw(key, n)
        if isinstance(u, jax.core.Tracer):
            return u
        failed = int(np.isnan(np.asarray(u)).any(axis=-1).sum())
        if failed:
            raise SpaceError(
                f"no point that keeps the constraints was found in {ROUNDS} draws, "
                f"for {failed} of {n} points",
                where="constraints " + "; ".join(map(repr, self.constraints)),
                fix="loosen the constraints, or narrow the bounds to where they hold",
            )
        return u

    @cached_property
    def _compiled_draw(self) -> Any:
        import jax

        return jax.jit(self._draw, static_argnums=1)

    def _draw(self, key: jax.Array, n: int) -> jax.Array:
        import jax
        import jax.numpy as jnp

        def fresh(turn: Any) -> jax.Array:
            return jax.random.uniform(jax.random.fold_in(key, turn), (n, self.dimension))

        def unfinished(state: tuple[Any, ...]) -> Any:
            turn, _, good = state
            return (turn < ROUNDS) & ~good.all()

        def again(state: tuple[Any, ...]) -> tuple[Any, ...]:
            turn, u, good = state
            u = jnp.where(good[:, None], u, fresh(turn))
            return turn + 1, u, self.feasible(self.decode(u))

        if not self._constraints:
            return fresh(0)
        nothing = (jnp.int32(0), jnp.zeros((n, self.dimension)), jnp.zeros(n, bool))
        _, u, good = jax.lax.while_loop(unfinished, again, nothing)
        return jnp.where(good[:, None], u, jnp.nan)

    # One point ----------------------------------------------------------------------------

    def config(self, u: Sequence[float] | np.ndarray) -> dict[str, Any]:
        """Turn one unit point into a configuration.

        Args:
            u: one row, ``dimension`` numbers; what lies outside of [0, 1] is moved to its edge.

        Returns:
            The user's values in the order of definition, fixed ones included, without the
            parameters that are not active.

        Raises:
            SpaceError: when ``u`` has another length, or holds NaN.

        Example:
            >>> Space(x=Real(0, 10), act=Choice(["relu", "tanh"]), epochs=3).config([0.5, 0.1])
            {'x': 5.0, 'act': 'relu', 'epochs': 3}
        """
        row = np.asarray(u, dtype=float).tolist()
        if not isinstance(row, list) or len(row) != self.dimension:
            raise _wrong_shape(np.shape(u), self.dimension)
        config = self._template.copy()
        for name, pick, x in zip(self._names, self._picks, row, strict=True):
            if not 0.0 <= x <= 1.0:
                if x != x:
                    raise _not_a_point()
                x = 0.0 if x < 0.0 else 1.0
            config[name] = pick(x)
        if self._conditions:
            for name in self._inactive(self._environment(config)):
                del config[name]
        return config

    def point(self, config: Mapping[str, Any]) -> np.ndarray:
        """Turn a configuration into its unit point, the inverse of :meth:`config`.

        Args:
            config: a configuration; parameters that are not active may be left out.

        Returns:
            An array of shape ``(dimension,)``; 0.5 for each parameter that is not active.

        Raises:
            SpaceError: when a value is missing or impossible.

        Example:
            >>> Space(x=Real(0, 10), act=Choice(["relu", "tanh"])).point({"x": 5, "act": "tanh"})
            array([0.5 , 0.75])
        """
        config = self._checked(config)
        return np.array(
            [p.place(config[n]) if n in config else 0.5 for n, p in self._free.items()], dtype=float
        )

    def check(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse a configuration that is not in the space; return it in its normal form.

        Args:
            config: values by name. Fixed ones may be left out; values of parameters that are not
                active are dropped.

        Returns:
            What :meth:`config` would return for the same point.

        Raises:
            SpaceError: when a name is unknown or missing, a value is impossible, or a
                constraint is broken.

        Example:
            >>> Space(x=Real(0, 10), epochs=3).check({"x": 5})
            {'x': 5.0, 'epochs': 3}
        """
        for name in config:
            if name not in self._template:
                raise SpaceError(
                    f"{name!r} is not a parameter",
                    where="configuration",
                    fix=_nearest(str(name), self._template),
                )
        checked = self._checked(config)
        for name, value in self._fixed.items():
            if name in config and plain(config[name], name) != value:
                raise SpaceError(
                    f"{name} is fixed at {value!r}, not {config[name]!r}",
                    where=name,
                    fix="leave it out",
                )
        environment = self._environment(checked)
        for rule in self._constraints:
            if rule.names <= checked.keys() and not rule.holds(environment):
                raise SpaceError(
                    f"the configuration breaks the constraint {rule.text!r}",
                    where=", ".join(f"{name}={checked[name]!r}" for name in sorted(rule.names)),
                    fix="choose values for which it is true",
                )
        return checked

    def _checked(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Check the value of every active parameter, and drop the others."""
        checked = self._template.copy()
        for name, parameter in self._free.items():
            if name in self._conditions:
                del checked[name]
            elif name in config:
                checked[name] = parameter.check(config[name], name)
            else:
                raise _missing(name)
        if not self._conditions:
            return checked
        environment = self._environment(checked)
        for name, condition in self._conditions.items():  # parents come before children
            if condition.names <= checked.keys() and condition.holds(environment):
                if name not in config:
                    raise _missing(name, f" while {condition.text!r}")
                checked[name] = self._free[name].check(config[name], name)
                environment[name] = self._environment({name: checked[name]})[name]
        return {name: checked[name] for name in self._template if name in checked}

    def _environment(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What expressions compute with, for a configuration."""
        environment = dict(config)
        for name, choice in self._indexed.items():
            if name in environment:
                environment[name] = choice.index(environment[name])
        return environment

    def _inactive(self, environment: Mapping[str, Any]) -> set[str]:
        """The parameters that are not active, when all of them have a value."""
        off: set[str] = set()
        for name, condition in self._conditions.items():
            if not (off.isdisjoint(condition.names) and condition.holds(environment)):
                off.add(name)
        return off

    def static_part(self, config: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        """Return what must be known when a program for ``config`` is compiled.

        Args:
            config: a configuration in normal form.

        Returns:
            Pairs of name and value for the static parameters (where one is not active, its low
            bound, first option or False) and for fixed values that are not numbers. Hashable.

        Example:
            >>> Space(lr=Real(0, 1), width=Int(8, 16, static=True), act="relu").static_part(
            ...     {"lr": 0.5, "width": 8, "act": "relu"})
            (('width', 8), ('act', 'relu'))
        """
        static = tuple(
            (name, plain(config.get(name, p.first), name)) for name, p in self._static.items()
        )
        return static + tuple(self._constant.items())

    def traced(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the numbers that a compiled program takes as input for ``config``.

        Args:
            config: a configuration in normal form.

        Returns:
            A number for each parameter that is not in :meth:`static_part`: a choice among
            numbers gives the number, another choice the index of its option; a parameter that
            is not active gives its low bound, first option or False. The types do not depend
            on the configuration.

        Example:
            >>> Space(lr=Real(0, 1), act=Choice(["relu", "tanh"]), epochs=3).traced(
            ...     {"lr": 0.5, "act": "tanh", "epochs": 3})
            {'lr': 0.5, 'act': 1, 'epochs': 3}
        """
        traced = {
            name: p.number(config.get(name, p.first))
            for name, p in self._free.items()
            if name not in self._static
        }
        return traced | self._numbers

    # Text ---------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the space as plain dictionaries and lists; :meth:`from_dict` reads it back."""
        parameters = {
            name: _parameter_to_dict(self._free[name]) if name in self._free else _lists(value)
            for name, value in self._template.items()
        }
        return {"parameters": parameters, "constraints": list(self.constraints)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Space:
        """Build a space from what :meth:`to_dict` returns.

        Raises:
            SpaceError: when ``data`` describes no possible space.

        Example:
            >>> Space.from_dict({"parameters": {"x": {"type": "real", "low": 0, "high": 1}}})
            Space(x=Real(0.0, 1.0))
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("parameters"), Mapping):
            raise SpaceError(
                "a space needs a table of parameters",
                where="parameters",
                fix='for example, in TOML: [parameters.lr] with type = "real", low = 0, high = 1',
            )
        unknown = [key for key in data if key not in ("parameters", "constraints")]
        if unknown:
            raise SpaceError(
                f"{unknown[0]!r} is not part of a space",
                where="top level",
                fix="put it below `parameters`; beside that only `constraints` is known",
            )
        parameters = {n: _parameter_from_dict(n, p) for n, p in data["parameters"].items()}
        return Space(parameters, constraints=data.get("constraints", ()))

    def to_json(self) -> str:
        """Return the space as JSON text; :meth:`from_json` reads it back."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> Space:
        """Build a space from JSON text.

        Raises:
            SpaceError: when the text is no JSON, names something twice, or describes no
                possible space.
        """
        try:
            return Space.from_dict(json.loads(text, object_pairs_hook=_unique))
        except json.JSONDecodeError as error:
            raise _unreadable("JSON", error) from None

    def to_toml(self) -> str:
        """Return the space as TOML text; :meth:`from_toml` reads it back.

        TOML knows no ``None``; it is written ``{none = true}``. A fixed value is written as a
        table, since TOML would otherwise put it before all others.
        """
        import tomli_w

        data = self.to_dict()
        parameters = {
            name: _hide_none(p if name in self._free else {"type": "fixed", "value": p})
            for name, p in data["parameters"].items()
        }
        return tomli_w.dumps({"constraints": data["constraints"], "parameters": parameters})

    @staticmethod
    def from_toml(text: str) -> Space:
        """Build a space from TOML text.

        Raises:
            SpaceError: when the text is no TOML, names something twice, or describes no
                possible space.

        Example:
            >>> Space.from_toml('''
            ... constraints = ["low < high"]
            ... [parameters]
            ... low = {type = "real", low = 0.0, high = 1.0}
            ... high = {type = "real", low = 0.0, high = 1.0}
            ... ''').names
            ('low', 'high')
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise _unreadable("TOML", error) from None
        if isinstance(data.get("parameters"), dict):
            data["parameters"] = {n: _show_none(p) for n, p in data["parameters"].items()}
        return Space.from_dict(data)


def _check_name(name: Any) -> None:
    ordinary = (
        isinstance(name, str)
        and name.isidentifier()
        and not keyword.iskeyword(name)
        and name == unicodedata.normalize("NFKC", name)
    )
    if not ordinary:
        raise SpaceError(
            f"{name!r} cannot be the name of a parameter",
            where="Space",
            fix="use letters, digits and _, no digit first, and no word that Python reserves",
        )


def _array_module(*arrays: Any) -> Any:
    """``jax.numpy`` when one of the arrays is JAX's, else NumPy; never imports JAX."""
    jax = sys.modules.get("jax")
    if jax is not None and any(isinstance(array, jax.Array) for array in arrays):
        return jax.numpy
    return np


def _floats(values: Any, xp: Any) -> Any:
    """Real numbers as float64 with NumPy, and with JAX as they are but at least float32."""
    if xp is np:
        return np.asarray(values, dtype=np.float64)
    values = xp.asarray(values)
    if not xp.issubdtype(values.dtype, xp.floating):
        return values.astype(float)
    return values if xp.finfo(values.dtype).bits >= 32 else values.astype(xp.float32)


def _parameter_to_dict(parameter: Parameter) -> dict[str, Any]:
    """The type and every field that is not at its default."""
    kind = type(parameter)
    data: dict[str, Any] = {"type": _NAMES[kind]}
    for name, field in kind.__dataclass_fields__.items():
        value = getattr(parameter, name)
        if value != field.default:
            data[name] = _lists(value)
    return data


def _parameter_from_dict(name: str, data: Any) -> Any:
    if not isinstance(data, Mapping):
        return data
    fields = dict(data)
    if fields.keys() == {"type", "value"} and fields["type"] == "fixed":
        return fields["value"]
    kind = _TYPES.get(str(fields.pop("type", "")))
    if kind is None:
        raise SpaceError(
            f"the parameter {name!r} has no known type",
            where=f"parameters.{name}.type",
            fix="write one of: " + ", ".join(_TYPES) + "; or a plain value for a fixed one",
        )
    for field in fields:
        if field not in kind.__dataclass_fields__:
            raise SpaceError(
                f"{field!r} is not a field of a parameter of type {data['type']!r}",
                where=f"parameters.{name}.{field}",
                fix=_nearest(field, kind.__dataclass_fields__),
            )
    needed = [f for f in ("low", "high", "options") if f in kind.__dataclass_fields__]
    for field in needed:
        if field not in fields:
            raise SpaceError(
                f"the parameter {name!r} has no {field!r}",
                where=f"parameters.{name}",
                fix=f"add {field}",
            )
    try:
        return kind(**fields)
    except SpaceError as error:
        raise SpaceError(error.what, where=f"{name} = {error.where}", fix=error.fix) from None


def _lists(value: Any) -> Any:
    """Tuples as lists, which is what JSON and TOML read back."""
    return [_lists(part) for part in value] if isinstance(value, tuple) else value


def _hide_none(value: Any) -> Any:
    if value is None:
        return {"none": True}
    if isinstance(value, list | tuple):
        return [_hide_none(part) for part in value]
    if isinstance(value, dict):
        return {key: _hide_none(part) for key, part in value.items()}
    return value


def _show_none(value: Any) -> Any:
    if value == {"none": True}:
        return None
    if isinstance(value, list):
        return [_show_none(part) for part in value]
    if isinstance(value, dict):
        return {key: _show_none(part) for key, part in value.items()}
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in pairs:
        if name in data:
            raise SpaceError(
                f"the name {name!r} is given twice", where="JSON text", fix="remove one of them"
            )
        data[name] = value
    return data


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else "known are: " + ", ".join(known)


def _unreadable(language: str, error: Exception) -> SpaceError:
    return SpaceError(
        f"the {language} text cannot be read: {error}",
        where=f"{language} text of a space",
        fix="correct it at that place; a name may be given only once",
    )


def _missing(name: str, why: str = "") -> SpaceError:
    return SpaceError(
        f"no value for {name!r}{why}", where="configuration", fix="give every active parameter"
    )


def _wrong_shape(shape: tuple[int, ...], dimension: int) -> SpaceError:
    return SpaceError(
        f"an array of shape {tuple(shape)} holds no points of a space of {dimension} dimensions",
        where="unit points",
        fix=f"the last axis must have {dimension} entries, one per name",
    )


def _not_a_point() -> SpaceError:
    return SpaceError(
        "a unit point holds NaN",
        where="unit points",
        fix="pass numbers from 0 to 1; rows of NaN from `sample` mean that no feasible point "
        "was found",
    )
