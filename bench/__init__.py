"""What `make bench` measures: each module here is one benchmark, `frame` is what they share.

A benchmark is a module `bench/<name>.py` whose docstring says what is compared with what, and
which has a function ``run(context: BenchContext) -> Iterable[Result]``. It measures ours and the
reference alternately, in one run, on the same data, and yields a result for every goal.
"""
