"""How JAX is set up: what this version of XLA does not know is left out."""

from typing import Any

import jax
import pytest

from parafree.study import _jax_setup


@pytest.fixture
def asked_anew() -> Any:
    _jax_setup.of_small_programs.cache_clear()
    yield
    _jax_setup.of_small_programs.cache_clear()


def test_this_xla_knows_the_options_of_small_programs(asked_anew: Any) -> None:
    options = _jax_setup.of_small_programs()
    assert options == {"xla_cpu_use_fusion_emitters": False}
    assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2


def test_options_that_xla_does_not_know_are_left_out(asked_anew: Any, monkeypatch: Any) -> None:
    real = jax.jit

    def of_another_version(f: Any, compiler_options: Any) -> Any:
        return real(
            f, compiler_options={f"{name}_of_old": v for name, v in compiler_options.items()}
        )

    monkeypatch.setattr(jax, "jit", of_another_version)
    assert _jax_setup.of_small_programs() == {}
