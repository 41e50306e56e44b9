import subprocess
import sys
import textwrap
import threading

import pytest

from parafree.core.errors import TrainableError
from parafree.study._command import Command
from parafree.study.trainables import (
    Source,
    StopImport,
    in_worker,
    instance_of,
    kind_of,
    load_file,
    load_target,
    space_of,
)

JAX = """
class {name}:
    space = "{name}'s space"
    def init(self, key, hparams): ...
    def step(self, key, state, hparams): ...
    def evaluate(self, state, hparams): ...
"""


@pytest.fixture
def write(tmp_path):
    count = iter(range(99))

    def write(body):
        file = tmp_path / f"a file {next(count)}.py"
        file.write_text(textwrap.dedent(body))
        return str(file)

    return write


def test_the_only_trainable_of_a_file_is_found(write):
    train = load_target(write("space = 's'\ndef helper(x): ...\ndef train(trial): ...\n"))
    assert (kind_of(train), train.__name__, space_of(train)) == ("function", "train", "s")
    other = load_target(write("from os.path import join\ndef fit(trial): ...\n"))
    assert other.__name__ == "fit" and space_of(other) is None
    digits = load_target(write(JAX.format(name="Digits")))
    assert (kind_of(digits), space_of(digits)) == ("jax", "Digits's space")
    made = load_target(write(JAX.format(name="Digits") + "digits = Digits()\n"))
    assert kind_of(made) == "jax"
    module = load_target(
        write("space = 1\ndef init(k, h): ...\ndef step(k, s, h): ...\ndef evaluate(s, h): ...\n")
    )
    assert kind_of(module) == "jax"


def test_the_file_is_the_same_module_each_time_and_not_main(write):
    file = write("import sys\ncount = []\ndef train(trial): ...\n")
    assert load_file(file) is load_file(file)
    assert load_file(file).__name__ != "__main__"


@pytest.mark.parametrize(
    ("body", "name", "what", "fix"),
    [
        (JAX.format(name="A") + JAX.format(name="B"), "", "more than one trainable: A and B", ":A"),
        ("def f(trial): ...\ndef g(trial): ...\n", "", "more than one trainable: f and g", ":f"),
        ("x = 1\n", "", "there is no trainable", "train(trial)"),
        ("def f(trial): ...\n", ":g", "there is no 'g' there; it has f", "colon"),
        ("x = 1\n", ":g", "nothing in it is a trainable", "colon"),
        ("class A:\n  def __init__(self, n): ...\n", ":A", "without arguments", "defaults"),
    ],
)
def test_what_is_not_clear_is_asked_for_with_the_candidates(write, body, name, what, fix):
    with pytest.raises(TrainableError) as error:
        load_target(write(body) + name)
    assert what in error.value.what and fix in error.value.fix


@pytest.mark.parametrize("target", ["no/such.py", "no_such_module:f", "", "..x", "a b c", ":f"])
def test_a_place_that_does_not_exist_is_named(target):
    with pytest.raises(TrainableError, match="there is no file"):
        load_target(target)


def test_errors_of_the_file_itself_are_not_hidden(write):
    file = write("import missing_module_of_the_user\n")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="missing_module_of_the_user"):
            load_target(file)


@pytest.mark.parametrize("thing", [3, "train", None, int])
def test_what_is_no_trainable_is_refused(thing):
    with pytest.raises(TrainableError, match="is not a trainable"):
        kind_of(thing)


def test_half_a_jax_trainable_is_told_what_it_lacks():
    class Half:
        space = None

        def init(self): ...

    with pytest.raises(TrainableError, match="has space and init but no step and evaluate"):
        kind_of(Half())


def test_a_class_becomes_an_instance_and_anything_else_stays(write):
    module = load_file(write(JAX.format(name="Digits")))
    assert isinstance(instance_of(module.Digits), module.Digits)
    assert instance_of(3) == 3


def test_a_script_stops_at_its_call_of_tune(write):
    module = load_file(
        write(
            """
            from parafree.study.trainables import StopImport, in_worker

            def train(trial): ...

            try:
                if in_worker():
                    raise StopImport
            except Exception:
                pass
            never = True
            """
        )
    )
    assert hasattr(module, "train") and not hasattr(module, "never")
    assert not in_worker()
    assert not issubclass(StopImport, Exception)


def test_a_source_says_where_a_function_is(write):
    file = write("class A:\n  @staticmethod\n  def f(trial): ...\ndef train(trial): ...\n")
    module = load_file(file)
    assert Source.of(module.train) == Source(file=file, name="train")
    assert Source.of(module.A.f) == Source(file=file, name="A.f")
    assert Source.of(textwrap.dedent) == Source(module="textwrap", name="dedent")
    for function in (module.train, module.A.f, textwrap.dedent):
        assert Source.of(function).load() is function
    command = Command(("a", "{b}"), timeout=2.0)
    assert Source.of(command).load() == command


def test_a_module_that_is_run_with_m_is_imported_by_its_name(tmp_path):
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "fit.py").write_text(
        "from . import __name__ as pack\nfrom parafree.study.trainables import Source\n"
        "def train(trial): ...\nif __name__ == '__main__':\n    print(Source.of(train))\n"
    )
    command = [sys.executable, "-m", "pack.fit"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == repr(Source(module="pack.fit", name="train"))


def test_a_function_without_a_file_is_sent_whole(write):
    module = load_file(write("def make(k):\n  return lambda x: helper(x) + k\n"
                             "def helper(x):\n  return 10 * x\n"))  # fmt: skip
    source = Source.of(module.make(1))
    assert source.pickled
    del sys.modules[module.__name__]
    assert source.load()(2) == 21


def test_what_cannot_be_sent_is_told():
    lock = threading.Lock()
    with pytest.raises(TrainableError, match="cannot be sent to worker processes"):
        Source.of(lambda trial: lock)


def test_a_function_that_is_gone_is_told(write):
    with pytest.raises(TrainableError, match="finds no 'train' there"):
        Source(file=write("x = 1\n"), name="train").load()
