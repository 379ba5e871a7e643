"""Random notebooks, edited, run, restarted and changed by hand, always beside a plain session.

Both sessions see the same actions; after each one every output, every name, the aliases between
them and the hidden state have to be equal.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.notebook.replay.grammar import PRELUDE, cells, statements
from tests.notebook.replay.runner import Session, Template, unlike

_PLACES = st.integers(0, 99)


class Editing(RuleBasedStateMachine):
    """Somebody at a notebook. `template` is set by the test."""

    template: Template
    is_autotask = True
    steps = 0
    obtained: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="nbflow-machine-"))
        (self._folder / "plain" / "notebook").mkdir(parents=True)
        (self._folder / "tasks" / "notebook").mkdir(parents=True)
        self._sources: list[str] = []
        self._ids: list[str] = []
        self._n_ids = 0
        self._n_run = 0
        self._open()

    def teardown(self) -> None:
        self._plain.kill()
        self._tasks.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- actions --------------------------------------------------------------------------------

    @initialize(new=st.lists(cells, min_size=2, max_size=5))
    def write(self, new: list[str]) -> None:
        for source in [PRELUDE, *new]:
            self._insert(len(self._sources), source)
        self._run_all()

    @rule(place=_PLACES, source=cells)
    def insert_a_cell(self, place: int, source: str) -> None:
        if len(self._sources) < 9:
            place = 1 + place % len(self._sources)
            self._insert(place, source)
            self._run(place)

    @rule(place=_PLACES, source=cells)
    def edit_a_cell(self, place: int, source: str) -> None:
        place = self._place(place)
        self._sources[place] = source
        self._run(place)

    @rule(place=_PLACES)
    def run_a_cell(self, place: int) -> None:
        self._run(self._place(place))

    @rule(place=_PLACES)
    def run_from_a_cell_on(self, place: int) -> None:
        for n in range(self._place(place), len(self._sources)):
            self._run(n)

    @rule(one=_PLACES, two=_PLACES)
    def swap_cells(self, one: int, two: int) -> None:
        one, two = self._place(one), self._place(two)
        for held in (self._sources, self._ids):
            held[one], held[two] = held[two], held[one]
        self._run(one)

    @rule(place=_PLACES)
    def delete_a_cell(self, place: int) -> None:
        if len(self._sources) > 3:
            place = self._place(place)
            del self._sources[place], self._ids[place]

    @rule(statement=statements)
    def change_by_hand(self, statement: str) -> None:
        assert self._plain.poke(statement) == self._tasks.poke(statement)
        self._compare(f"by hand: {statement}")

    @rule()
    def restart(self) -> None:
        self._plain.end()
        self._tasks.end()
        self._open()
        self._run_all()

    @rule()
    def crash(self) -> None:
        self._plain.kill()
        self._tasks.kill()
        self._open()
        self._run_all()

    # --- parts of them --------------------------------------------------------------------------

    def _open(self) -> None:
        self._plain: Session = self.template.session(self._folder / "plain" / "notebook")
        home = self._folder / "home" if self.is_autotask else None
        self._tasks: Session = self.template.session(self._folder / "tasks" / "notebook", home)
        self._n_run = 0

    def _place(self, place: int) -> int:
        """Any cell but the first."""
        return 1 + place % (len(self._sources) - 1)

    def _insert(self, place: int, source: str) -> None:
        self._n_ids += 1
        self._sources.insert(place, source)
        self._ids.insert(place, f"cell-{self._n_ids}")

    def _run_all(self) -> None:
        for n in range(len(self._sources)):
            self._run(n)

    def _run(self, n: int) -> None:
        source, cell_id = self._sources[n], self._ids[n]
        want = self._plain.run(source, cell_id)
        got = self._tasks.run(source, cell_id)
        how = self._how() if self.is_autotask else "run plainly"
        assert got == want, f"after the cell ({how}):\n{source}\nput out\n{got}\nplainly\n{want}"
        self._compare(f"the cell ({how}):\n{source}")

    def _how(self) -> str:
        self._n_run += 1
        obtained = self._tasks.obtained()
        assert len(obtained) == self._n_run
        Editing.obtained[obtained[-1].status] += 1
        return f"{obtained[-1].status}: {obtained[-1].reason}"

    def _compare(self, done: str) -> None:
        Editing.steps += 1
        found = unlike("name", self._plain.look(), self._tasks.look())
        assert not found, f"after {done}\n" + "\n".join(found)


def _attack(
    template: Template, n_examples: int, n_steps: int, *, is_autotask: bool = True, **more: object
) -> None:
    Editing.template, Editing.is_autotask = template, is_autotask
    Editing.steps, Editing.obtained = 0, Counter()
    chosen = settings(
        max_examples=n_examples,
        stateful_step_count=n_steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
    try:
        run_state_machine_as_test(Editing, settings=chosen)
    finally:
        print(f"{Editing.steps} comparisons; cells were {dict(Editing.obtained)}")


def test_no_difference_to_plain_runs(template: Template):
    _attack(template, 6, 15, derandomize=True, phases=[Phase.generate])

    assert Editing.obtained["cached"] > 0


@pytest.mark.reliability
def test_two_plain_sessions_are_equal(template: Template):
    """The comparison finds no differences where there are none."""
    _attack(template, 20, 20, is_autotask=False, phases=[Phase.generate])


@pytest.mark.reliability
@pytest.mark.timeout(3600)
def test_no_difference_to_plain_runs_in_ten_thousand_steps(template: Template):
    """Prints what to put before the test to see a failure again."""
    while_steps = 0
    while while_steps < 10_000:
        _attack(template, 60, 30, print_blob=True)
        while_steps += Editing.steps

    assert Editing.obtained["cached"] > 0
