"""What all tests share: compiled programs are kept for the session, apart from the user's own."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

# Set before JAX is imported, and inherited by the processes that tests start. Two test processes
# must not write one file, so each has a folder of its own.
_base = os.environ.setdefault("PARAFREE_TEST_CACHE", tempfile.mkdtemp(prefix="parafree-tests-"))
_own = Path(_base) / os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_own)
os.environ["JAX_NUM_CPU_DEVICES"] = "1"  # the same on every machine; other numbers are tested apart
# Most programs run a few times only, so they are compiled quickly: without optimisation, and
# without the emitter for large loops, which alone spares 40 % of the time of testing black-box
# methods. XLA_FLAGS="" compiles them as users do: make test-slow.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Give back the memory of a file's programs, gigabytes in all; the folder still has them."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


def pytest_unconfigure(config):
    """Remove the folder, in the process that made it."""
    import shutil

    if not hasattr(config, "workerinput"):
        shutil.rmtree(_base, ignore_errors=True)
