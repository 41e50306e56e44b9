"""Optuna's TPE as shipped."""

from __future__ import annotations

from _bbob_problems import Over, Recorder


def optuna(problem: Recorder, seed: int) -> None:
    """One trial after another, in memory."""
    import optuna as peer

    p = problem.problem
    reals, last = p.dimension - p.choices, range(p.dimension - p.choices, p.dimension)

    def value(trial: peer.Trial) -> float:
        x = [trial.suggest_float(f"x{i}", p.low[i], p.high[i]) for i in range(reals)]
        z = [trial.suggest_categorical(f"x{i}", range(int(p.high[i]) + 1)) for i in last]
        return problem([*x, *z])

    peer.logging.set_verbosity(peer.logging.ERROR)
    study = peer.create_study(sampler=peer.samplers.TPESampler(seed=seed))
    study.optimize(value, n_trials=problem.budget + 1, catch=())
    raise Over
