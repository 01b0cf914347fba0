"""Hypothesis chooses the steps of a life, and finds the shortest one that goes wrong."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ft_ops.months import Month
from tests.fixtures.postgres import Database
from tests.model.application import ACTIONS
from tests.model.ending import end
from tests.model.interruptions import KINDS
from tests.model.life import Life, Step, life
from tests.model.schema_changes import CHANGES

NAMINGS: Final[Sequence[Callable[[Month], str] | None]] = (
    None,
    lambda month: f"content_segments_p{month.suffix}",
    lambda month: f"content_segments_p{month.year}{month.month:02d}01",
)
"""How the months' partitions are called before the operations see them: also as pg_partman does."""

_USUAL: Final = ("insert", "view", "edit", "tag", "narrate", "link", "delete_child")
_STEPS: Final = (
    "reopen",
    "move",
    "archive",
    "archive",
    "purge",
    "purge",
    "thaw",
    "thaw",
    "thaw a family",
    "cancel",
    "refreeze",
    "erase",
    "collect",
)
_COURSE: Final = ("move", "archive", "purge", "thaw", "thaw", "refreeze", "reopen")
"""What usually happens to a month, and then from the beginning."""

_VALUES: Final = (
    ("FT_RETENTION_YEARS", "100"),
    ("FT_RETENTION_YEARS", "1"),
    ("FT_PURGE_ENABLED", "false"),
    ("FT_PURGE_ENABLED", "true"),
    ("FT_PURGE_GRACE_DAYS", "30"),
    ("FT_PURGE_GRACE_DAYS", "0"),
    ("FT_ARCHIVE_STORAGE_CLASS", "GLACIER"),
    ("FT_ARCHIVE_STORAGE_CLASS", "GLACIER_IR"),
    ("FT_ARCHIVE_STORAGE_CLASS", "DEEP_ARCHIVE"),
)

_HELD: Final = ("month", "family", "book", "thread", "user")

_any = st.integers(0, 999)
_month = st.integers(0, 2)
_actions = st.tuples(
    st.just("app"), st.sampled_from((*ACTIONS, *_USUAL, *_USUAL)), _any, _any, st.integers(0, 5)
)
_operations = st.tuples(st.just("ops"), st.sampled_from(_STEPS), _month, _month)
_others: st.SearchStrategy[Step] = st.one_of(
    st.tuples(
        st.just("hold"), st.sampled_from(("month", "family", "book", "thread", "user")), _month
    ),
    st.tuples(st.just("release"), _month),
    st.tuples(st.just("schema"), st.sampled_from(tuple(CHANGES))),
    st.sampled_from([("set", *value) for value in _VALUES]),
    st.just(("backup",)),
)
_point = st.one_of(st.integers(1, 15), st.integers(1, 60), st.integers(1, 200))
"""At which statement or request: some steps have few of them, an archive has two hundred."""

_faults = st.one_of(
    st.tuples(st.sampled_from(KINDS[:4]), _point, st.none()),
    st.tuples(st.sampled_from(KINDS[4:]), _point, st.one_of(_actions, _operations, _others)),
)

COUNTED: Counter[str] = Counter()
"""Steps of all lives, by what came of them."""


class Lives(RuleBasedStateMachine):
    """One life an example."""

    template: ClassVar[Database]
    months: ClassVar[Sequence[Month]]
    copied: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._life: Life | None = None
        self._is_over = False
        self._courses = [0, 0, 0]

    # A step takes four times as long through Dagster.
    @initialize(
        naming=st.sampled_from(range(len(NAMINGS))),
        through_dagster=st.sampled_from((0,) * 9 + (1,)),
    )
    def begins(self, naming: int, through_dagster: int) -> None:
        begun = life(
            self.template,
            months=self.months,
            naming=NAMINGS[naming],
            through_dagster=bool(through_dagster),
            copied=self.copied,
        )
        self._life = self._stack.enter_context(begun)

    @rule(action=_actions)
    def application(self, action: Step) -> None:
        self._do(action)

    @rule(actions=st.lists(_actions, min_size=2, max_size=4))
    def busy_application(self, actions: list[Step]) -> None:
        for action in actions:
            self._do(action)

    @rule(operation=_operations)
    def operation(self, operation: Step) -> None:
        self._do(operation)

    @rule(operation=_operations, fault=_faults)
    def disturbed_operation(self, operation: Step, fault: Any) -> None:
        self._do((*operation, fault))

    @rule(month=_month)
    def a_month_goes_on(self, month: int) -> None:
        self._go_on(month)
        self._courses[month] += 1

    @rule(month=_month, fault=_faults)
    def a_month_is_disturbed(self, month: int, fault: Any) -> None:
        """And is given another try next time."""
        self._go_on(month, fault)

    @rule(month=_month, faults=st.lists(_faults, min_size=4, max_size=4))
    def a_month_has_bad_luck(self, month: int, faults: list[Any]) -> None:
        """Each step of its way is disturbed, and tried again."""
        for step, fault in zip(("move", "archive", "purge", "thaw"), faults, strict=True):
            if step == "purge":
                self._do(("backup",))
            for disturbance in ((fault,), ()):
                if step == "thaw":
                    self._do(("time", 2))
                self._do(("ops", step, month, 0, *disturbance))

    @rule(other=_others)
    def other(self, other: Step) -> None:
        self._do(other)

    @rule(days=st.sampled_from((1, 2, 20, 40)))
    def time_passes(self, days: int) -> None:
        self._do(("time", days))

    @rule(month=_month)
    def a_month_leaves(self, month: int) -> None:
        for step in ("move", "archive", "backup", "purge"):
            self._do(("backup",) if step == "backup" else ("ops", step, month, 0))

    @rule(month=_month)
    def a_month_comes_back(self, month: int) -> None:
        self._do(("ops", "thaw", month, 0))
        self._do(("time", 2))
        self._do(("ops", "thaw", month, 0))

    @rule()
    def a_backup_is_kept(self) -> None:
        self._do(("moment",))

    @rule(same=st.booleans())
    def the_database_is_recovered(self, same: bool) -> None:
        """To the last backup that was kept, while the bucket is further on."""
        self._do(("recover", same))

    def teardown(self) -> None:
        """A life that went well ends, and everything comes back."""
        try:
            if self._life is not None and not self._is_over:
                chance = random.Random(len(self._life.done))
                end(self._life, chance, full=chance.random() < 0.5)
        finally:
            if self._life is not None:
                COUNTED.update(_summary(outcome) for _, outcome in self._life.done)
            self._stack.close()

    def _go_on(self, month: int, *fault: Any) -> None:
        step = _COURSE[self._courses[month] % len(_COURSE)]
        if step == "purge":
            self._do(("backup",))
        if step == "thaw":
            self._do(("time", 2))
        self._do(("ops", step, month, 0, *fault))

    def _do(self, step: Step) -> None:
        assert self._life is not None
        # Until it has ended well: a life that went wrong has no ending to be compared.
        self._is_over = True
        self._life.do(step)
        self._is_over = False


def _summary(outcome: str) -> str:
    """What came of a step, in a word or two."""
    kind = {"Failure": "refused by the operations", "refused": "refused by the database"}
    what = outcome.split(":", maxsplit=1)[0].removesuffix(" (struck)")
    struck = " under a fault" if outcome.endswith("(struck)") else ""
    return f"{kind.get(what, what)}{struck}"
