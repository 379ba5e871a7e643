"""Who may begin what: within the limits, in order, each run by one process."""

from __future__ import annotations

import time

import pytest
from children import read
from declared import declare, finish, fire, schedule_spec, scheduled, states
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nbflow.errors import DeploymentNotFound, PoolExists, PoolNotFound
from nbflow.model.schedules import Overlap
from nbflow.store.store import Store


def test_order_has_its_own_parameters_over_the_others(store):
    schedule = scheduled(
        store, {"parameters": {"a": 1, "b": 1, "c": 1}, "tags": ("x",)}, parameters={"b": 2, "c": 2}
    )

    order = store.add_order(
        schedule.deployment_id,
        parameters={"c": 3},
        schedule_id=schedule.id,
        tags=["y"],
        run_name="mine",
        origin_id="o" * 32,
    )

    run = store.find_run("mine")
    assert order.parameters == {"a": 1, "b": 2, "c": 3}
    assert (order.cause, order.schedule_id, order.tags) == ("", schedule.id, ("x", "y"))
    assert (run.id, run.origin_id, run.tags) == (order.run_id, "o" * 32, ["x", "y"])
    assert store.order(run.id) == order
    store.add_order(schedule.deployment_id, schedule_id=schedule.id)  # as often as one likes
    with pytest.raises(DeploymentNotFound):
        store.add_order("nowhere")


def test_the_oldest_is_taken_first(store):
    deployment = declare(store)
    late, early = (store.add_order(deployment.id, due_at=at) for at in (20.0, 10.0))
    future = store.add_order(deployment.id, due_at=time.time() + 1000)

    assert [one.run_id for one in store.take_orders(limit=1)] == [early.run_id]
    assert [one.run_id for one in store.take_orders()] == [late.run_id]
    assert store.take_orders() == []
    assert store.next_order_at() == future.due_at
    assert states(store, early.run_id) == ["Scheduled", "Pending"]
    assert store.find_run(early.run_id).owner_id == store.owner_id


def test_only_what_is_asked_for_is_taken(store):
    store.create_pool("p", "process")
    in_pool, elsewhere = declare(store, name="a", pool="p"), declare(store, name="b")
    one, other = store.add_order(in_pool.id), store.add_order(elsewhere.id)

    assert store.take_orders(pool="q") == []
    assert store.take_orders(deployment_ids=[]) == []
    assert store.take_orders(deployment_ids=[elsewhere.id], pool="p") == []
    assert [order.run_id for order in store.take_orders(pool="p")] == [one.run_id]
    assert [o.run_id for o in store.take_orders(deployment_ids=[elsewhere.id])] == [other.run_id]
    future = store.add_order(elsewhere.id, due_at=time.time() + 1000)
    assert store.next_order_at(pool="p") is None
    assert store.next_order_at(deployment_ids=[in_pool.id]) is None
    assert store.next_order_at(deployment_ids=[elsewhere.id]) == future.due_at


def test_limits_of_pool_and_deployment_hold_for_all_processes(store, home):
    store.create_pool("p", "process", limit=3)
    small = declare(store, name="small", pool="p", concurrency_limit=1)
    large = declare(store, name="large", pool="p")
    for deployment in (small, small, large, large, large):
        store.add_order(deployment.id)
    other = Store(home, may_fall_back=False)

    begun = [*store.take_orders(pool="p", limit=2), *other.take_orders(pool="p")]

    assert [one.deployment_id for one in begun] == [small.id, large.id, large.id]
    assert store.take_orders(pool="p") == []
    (pool,) = store.pools()
    assert (pool.n_waiting, pool.n_running) == (2, 3)
    finish(store, begun[0])
    assert [one.deployment_id for one in other.take_orders(pool="p")] == [small.id]
    store.limit_pool("p", None)
    assert len(other.take_orders(pool="p")) == 1
    other.close()


@pytest.mark.parametrize("what", ["pool", "deployment"])
def test_nothing_of_what_rests_begins(store, what):
    store.create_pool("p", "process")
    deployment = declare(store, pool="p")
    store.add_order(deployment.id)
    rest = {
        "pool": lambda paused: store.pause_pool("p", paused),
        "deployment": lambda paused: store.pause_deployment(deployment.id, paused),
    }[what]

    rest(True)
    assert store.take_orders(pool="p") == []
    rest(False)
    assert len(store.take_orders(pool="p")) == 1


@pytest.mark.parametrize("overlap", Overlap)
def test_order_by_hand_waits_for_the_run_of_its_schedule(store, overlap):
    schedule = scheduled(store, overlap=overlap)
    (begun,) = fire(store, schedule).taken
    store.add_order(schedule.deployment_id, schedule_id=schedule.id)

    assert len(store.take_orders()) == (overlap is Overlap.ALLOW)
    finish(store, begun)
    assert len(store.take_orders()) == (overlap is not Overlap.ALLOW)


def test_run_that_waits_can_be_cancelled_and_one_that_was_begun_cannot(store):
    deployment = declare(store)
    first, second = store.add_order(deployment.id), store.add_order(deployment.id)
    store.take_orders(limit=1)

    assert not store.cancel_waiting(first.run_id)
    assert store.cancel_waiting(second.run_id)
    assert not store.cancel_waiting(second.run_id)
    assert store.take_orders() == []
    assert states(store, second.run_id) == ["Scheduled", "Cancelled"]


def test_run_is_adopted_once_and_only_from_who_has_it(store, home):
    order = store.add_order(declare(store).id)
    child = Store(home, may_fall_back=False)
    assert child.adopt_order(order.run_id, store.owner_id) is None  # nobody has it yet
    store.take_orders()

    adopted = child.adopt_order(order.run_id, store.owner_id)

    assert adopted is not None
    assert (adopted.run_id, adopted.state_name) == (order.run_id, "Pending")
    assert child.adopt_order(order.run_id, store.owner_id) is None
    assert store.find_run(order.run_id).owner_id == child.owner_id
    finish(child, order)
    assert store.adopt_order(order.run_id, child.owner_id) is None
    child.close()


def test_pools_are_kept_by_name(store):
    store.create_pool("p", "process", 2)
    store.create_pool("p", "process")
    store.create_pool("n", "notebook")

    assert [(pool.name, pool.kind, pool.concurrency_limit) for pool in store.pools()] == [
        ("n", "notebook", None),
        ("p", "process", 2),
    ]
    with pytest.raises(PoolExists, match="of type process"):
        store.create_pool("p", "notebook")
    with pytest.raises(ValueError, match="number from 0 on"):
        store.limit_pool("p", -1)
    store.delete_pool("n")
    for do in (
        store.delete_pool,
        store.find_pool,
        lambda name: store.pause_pool(name, paused=True),
        lambda name: store.limit_pool(name, 1),
        lambda name: store.register_worker("w", name),
    ):
        with pytest.raises(PoolNotFound, match="nbflow work-pool create"):
            do("n")


def test_workers_are_told_apart_and_said_to_live(store, home):
    store.create_pool("p", "process")
    store.register_worker("w", "p", 4)
    other = Store(home, may_fall_back=False)
    other.register_worker("v", "p")
    before = store.workers()[0].heartbeat_at
    store.worker_heartbeat()

    first, second = store.workers("p")

    assert (first.name, first.limit, first.id, first.is_alive) == ("w", 4, store.owner_id, True)
    assert first.heartbeat_at > before
    assert (second.name, second.limit) == ("v", None)
    assert store.workers("q") == []
    other.unregister_worker()
    other.close()
    assert [one.name for one in store.workers()] == ["w"]


def test_worker_hears_requests_while_it_runs_nothing_itself(store, home):
    """Its runs are carried out by processes of their own; they are cancelled through it too."""
    heard = []
    worker = Store(home, heard.append, may_fall_back=False)
    worker.create_pool("p", "process")
    worker.register_worker("w", "p")

    store.request(worker.owner_id, "r", "cancel")

    end = time.monotonic() + 30
    while not heard and time.monotonic() < end:
        pass
    assert [(request.run_id, request.verb) for request in heard] == [("r", "cancel")]
    worker.close()


def test_once_is_once_for_all(store, home):
    other = Store(home, may_fall_back=False)

    assert [one.claim_once("r", "failure") for one in (store, other, store)] == [True, False, False]
    assert other.claim_once("r", "recovery")
    assert other.claim_once("s", "failure")
    other.close()


class Orders(RuleBasedStateMachine):
    """Whatever is done in whatever order: limits and overlaps hold, and what is final stays."""

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name), may_fall_back=False)
        self.store.create_pool("p", "process", 3)
        self.deployments = [
            declare(
                self.store,
                *(schedule_spec(overlap.value, overlap=overlap) for overlap in Overlap),
                name=str(n),
                pool="p",
                retries=n,
                concurrency_limit=2 if n else None,
            )
            for n in range(2)
        ]
        self.schedules = self.store.schedules()
        self.final: dict[str, str] = {}
        self.begun: dict[str, object] = {}

    def teardown(self):
        self.store.close()
        self.folder.cleanup()

    schedule = st.integers(0, 7)
    deployment = st.integers(0, 1)

    @rule(n=schedule, start=st.booleans(), more=st.integers(0, 2), missed=st.booleans())
    def fires(self, n, start, more, missed):
        schedule = self.store.find_schedule(self.schedules[n].id)
        times = [schedule.next_at + 60 * i for i in range(more + 1)]
        state = "Missed" if missed else "Scheduled"
        fired = fire(self.store, schedule, *times, start=start, state=state)
        self.begun |= {one.run_id: one for one in fired.taken}

    @rule(n=deployment, by=st.none() | schedule)
    def asks(self, n, by):
        schedule_id = None if by is None else self.schedules[by].id
        if schedule_id is None or self.schedules[by].deployment_id == self.deployments[n].id:
            self.store.add_order(self.deployments[n].id, schedule_id=schedule_id)

    @rule(limit=st.none() | st.integers(0, 2))
    def takes(self, limit):
        taken = self.store.take_orders(pool="p", limit=limit)
        assert limit is None or len(taken) <= limit
        for one in taken:
            assert one.run_id not in self.begun
            self.begun[one.run_id] = one

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), how=st.sampled_from(["Completed", "Failed", "Crashed", "late"]))
    def ends(self, data, how):
        order = self.begun[data.draw(st.sampled_from(sorted(self.begun)))]
        if how == "Crashed":
            self.store.crash_run(order.run_id, self.store.owner_id, "it died")
        else:
            finish(self.store, order, "Running" if how == "late" else how)
        if how != "late":
            del self.begun[order.run_id]

    @rule(data=st.data())
    def cancels(self, data):
        waiting = [order.run_id for order, run in self.store.orders() if not run.owner_id]
        if waiting:
            self.store.cancel_waiting(data.draw(st.sampled_from(waiting)))

    @rule(n=deployment, paused=st.booleans())
    def pauses(self, n, paused):
        self.store.pause_deployment(self.deployments[n].id, paused)

    @rule(paused=st.booleans())
    def pauses_pool(self, paused):
        self.store.pause_pool("p", paused)

    @invariant()
    def holds(self):
        home = self.store.folder
        begun = """FROM orders o JOIN runs r ON r.id = o.run_id WHERE r.owner_id > '' AND
            r.state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')"""
        assert {row[0] for row in read(home, f"SELECT r.id {begun}")} == set(self.begun)
        assert len(self.begun) <= 3
        of = read(home, f"SELECT count(*) {begun} AND deployment_id = ?", self.deployments[1].id)
        assert of[0][0] <= 2
        assert not read(
            home,
            f"""SELECT schedule_id {begun}
                AND schedule_id IN (SELECT id FROM schedules WHERE overlap <> 'allow')
                GROUP BY 1 HAVING count(*) > 1""",
        )
        # An order waits, or its run is somebody's, or it is over.
        assert not read(
            home,
            """SELECT r.id FROM orders o JOIN runs r ON r.id = o.run_id
               WHERE (o.taken_at IS NULL) <> (r.state_type = 'SCHEDULED' AND r.owner_id = '')""",
        )
        final = dict(
            read(
                home,
                """SELECT id, state_name FROM runs
                   WHERE state_type IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')""",
            )
        )
        assert self.final.items() <= final.items()
        self.final = final


TestOrders = Orders.TestCase
TestOrders.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_nobody_takes_the_runs_of_a_pool_that_was_deleted(store):
    store.create_pool("gone", "process")
    store.add_order(declare(store, name="a", pool="gone").id)
    store.delete_pool("gone")

    assert store.take_orders(pool="gone") == []
