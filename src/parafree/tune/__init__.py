"""Which trial gets the next unit of resource, and which configuration comes next."""

from parafree._callable import make_callable

make_callable(__name__, "parafree.study.tune", "tune")
