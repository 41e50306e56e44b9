"""Runs pycma and PyPop7, and says which of their algorithms is which of ours."""

from __future__ import annotations

import importlib
import time
from typing import Any, NamedTuple

import numpy as np

from _blackbox_speed_jax import HIGH, LOW
from _blackbox_speed_objectives import Objective


class Same(NamedTuple):
    """The same algorithm in other packages; None where they have it not."""

    pypop7: str | None = None  # module and class below pypop7.optimizers
    evosax: str | None = None
    pycma: dict[str, Any] | None = None  # its options


PEERS = {
    "CMAES": Same("es.cmaes.CMAES", "CMA_ES", {}),
    "SepCMAES": Same("es.sepcmaes.SEPCMAES", "Sep_CMA_ES", {"CMA_diagonal": True}),
    "SNES": Same("nes.snes.SNES", "SNES"),
    "XNES": Same("nes.xnes.XNES", "xNES"),
    "MAES": Same("es.maes.MAES", "MA_ES"),
    "LMMAES": Same("es.lmmaes.LMMAES", "LM_MA_ES"),
    "LMCMA": Same("es.lmcma.LMCMA"),
    "FastCMAES": Same("es.fcmaes.FCMAES"),
    "RmES": Same("es.rmes.RMES", "Rm_ES"),
    "R1NES": Same("nes.r1nes.R1NES"),
    "CEM": Same("cem.scem.SCEM"),
    "UMDA": Same("eda.umda.UMDA"),
    "EMNA": Same("eda.emna.EMNA"),
    "JADE": Same("de.jade.JADE"),
    "SHADE": Same("de.shade.SHADE"),
    "CoDE": Same("de.code.CODE"),
    "ParticleSwarm": Same("pso.spso.SPSO", "PSO"),
    "FastProgramming": Same("ep.fep.FEP"),
    "RandomDraws": Same("rs.prs.PRS", "RandomSearch"),
}
QUICK = ("CMAES", "SepCMAES", "SNES", "JADE", "ParticleSwarm")


def pypop7(name: str, population: int, objective: Objective, d: int, seconds: float) -> float:
    """Return the evaluations in a second; PyPop7 asks for one value at a time."""
    module, _, kind = name.rpartition(".")
    algorithm = getattr(importlib.import_module(f"pypop7.optimizers.{module}"), kind)
    edge = np.ones(d)
    problem = {
        "fitness_function": objective.numpy,
        "ndim_problem": d,
        "lower_boundary": LOW * edge,
        "upper_boundary": HIGH * edge,
    }
    options = {
        "seed_rng": 0,
        "n_individuals": population,
        "mean": 0 * edge,
        "sigma": (HIGH - LOW) / 4,
        "verbose": False,
        "saving_fitness": 0,
    }
    try:
        found = algorithm(problem, options | {"max_runtime": seconds}).optimize()
    except TypeError:  # the time was over before it had a value to compare
        found = algorithm(problem, options | {"max_runtime": 20 * seconds}).optimize()
    return float(found["n_function_evaluations"] / found["runtime"])


def pycma(
    options: dict[str, Any], population: int, objective: Objective, d: int, seconds: float
) -> float:
    """Return the evaluations in a second, with all values of a batch computed at once."""
    import cma

    quiet = {"verbose": -9, "verb_log": 0, "verb_disp": 0, "seed": 1, "popsize": population}
    search = cma.CMAEvolutionStrategy(np.zeros(d), (HIGH - LOW) / 4, quiet | options)
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds or count < 2 * population:
        x = search.ask()
        search.tell(x, objective.numpy(np.asarray(x)).tolist())
        count += len(x)
    return count / took


def installed(package: str) -> bool:
    """Return whether a peer is here."""
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True
