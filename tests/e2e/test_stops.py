"""A run that is stopped, killed or disturbed loses nothing."""

import signal
import time

import pytest

JAX = ("bowl.py", "--units", 4000, "--seed", 3, "--lanes", 4, "--chunk", 1, "--repeats", 0)
FUNCTION = ("fn.py", "--units", 150, "--seed", 3, "--workers", 1, "--repeats", 0)


@pytest.fixture(scope="session")
def whole(tmp_path_factory, done):
    """The journal of the JAX study that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    done.tune(*JAX, "--store", folder / "p.db")
    return done.journal(folder / "p.db")


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param([signal.SIGKILL], id="killed"),
        pytest.param([signal.SIGINT], id="Ctrl-C", marks=pytest.mark.slow),
        pytest.param([signal.SIGINT, signal.SIGINT], id="Ctrl-C twice", marks=pytest.mark.slow),
        pytest.param([signal.SIGTERM], id="terminated", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_goes_on_to_the_same_journal(cli, whole, numbers):
    run = cli.start("tune", *JAX, "--store", "p.db", "--no-report")
    cli.wait_for(run, 1)
    for number in numbers:
        run.send_signal(number)
        time.sleep(0.02)
    ended = cli.finish(run)
    before = cli.journal()
    assert whole.startswith(before)
    assert before != whole
    if numbers != [signal.SIGKILL]:
        assert ended.status == 130
        assert "Traceback" not in ended.err
        assert "parafree tune bowl.py" in ended.out + ended.err
    cli.tune(*JAX, "--store", "p.db")
    assert cli.journal() == whole


def test_a_function_that_was_killed_goes_on_from_its_saves(cli):
    run = cli.start("tune", *FUNCTION, "--store", "p.db", "--no-report")
    cli.wait_for(run, 60)
    run.kill()
    cli.finish(run)
    before = cli.journal()
    cli.tune(*FUNCTION, "--store", "p.db")
    after = cli.journal()
    assert after.startswith(before)
    assert "\tend\t" not in after


def test_a_second_process_is_told_who_works_on_the_study(cli):
    endless = ("tune", "fn.py", "--units", 10**6, "--workers", 1, "--store", "p.db", "--no-report")
    first = cli.start(*endless)
    cli.wait_for(first, 1)
    cli.run(*endless).refuses("in use", str(first.pid))
    assert first.poll() is None
    first.send_signal(signal.SIGINT)
    assert cli.finish(first).status == 130


def test_other_settings_are_refused(done):
    before = done.journal()
    for change in (("--seed", 4), ("--lanes", 8)):
        more = done.run("tune", "bowl.py", "--units", 480, "--store", "p.db", *change)
        more.refuses(change[0].strip("-"))
    assert done.journal() == before
