"""Workers and the processes of their runs are stopped and killed: no task runs twice at a time."""

from __future__ import annotations

import itertools
import os
import random
import signal
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from children import Child, read
from mayhem import kill_all, pids_of, seeded, unfinished, until
from nbformat.v4 import new_code_cell, new_notebook
from serving import overlaps, spans

from nbflow.model.deployments import DeploymentKind, DeploymentSpec
from nbflow.results.sealing import purpose_of, seal
from nbflow.store.store import Store

WORKER = """
    import sys
    from nbflow.deploy.worker import Worker
    Worker("pool", limit=int(sys.argv[1])).run()
"""
SCRIPT = """
    import os, time
    from nbflow import flow, task
    from nbflow.runtime import flow_run
    from nbflow.task_runners import ProcessPoolTaskRunner

    @task
    def show_life(run_id, seconds):
        file = os.open({effects!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        attempt, end = os.urandom(4).hex(), time.monotonic() + seconds
        while True:
            now = time.monotonic()
            os.write(file, f"{{run_id}} {{attempt}} {{now}}\\n".encode())
            if now >= end:
                return seconds
            time.sleep(min(0.01, end - now))

    @flow
    def plain(seconds):
        show_life(flow_run.id, seconds)

    @flow
    def threads(seconds):
        show_life.submit(flow_run.id, seconds).result()

    @flow(task_runner=ProcessPoolTaskRunner(1))
    def processes(seconds):
        show_life.submit(flow_run.id, seconds).result()
"""


class Pool:
    """A pool, its workers, and orders of a flow that shows signs of life in a file."""

    def __init__(self, home: Path, flow: str = "plain", retries: int = 5) -> None:
        self.home = home
        self.effects = home.parent / "effects"
        self.workers: list[Child] = []
        self._keys = itertools.count(1)
        path = home.parent / "script.py"
        path.write_text(textwrap.dedent(SCRIPT.format(effects=str(self.effects))))
        self.store = Store(home, may_fall_back=False)
        self.store.create_pool("pool", "process")
        spec = DeploymentSpec(
            flow_name=flow,
            name="it",
            kind=DeploymentKind.SCRIPT,
            target=f"{path}:{flow}",
            folder=str(home.parent),
            pool="pool",
            retries=retries,
        )
        self.deployment = self.store.put_deployment(spec, [])

    def deploy_notebook(self) -> None:
        """Have orders run a notebook instead."""
        life = textwrap.dedent(SCRIPT.format(effects=str(self.effects)))
        life = life[life.index("def show_life") : life.index("@flow")]
        cells = ["key, seconds = '', 0.0", f"import os, time\n{life}\nshow_life(key, seconds)"]
        made = [new_code_cell(one) for one in cells]
        made[0].metadata["tags"] = ["parameters"]
        spec = DeploymentSpec(
            flow_name="report",
            name="it",
            kind=DeploymentKind.NOTEBOOK,
            target=str(self.home.parent / "report.ipynb"),
            folder=str(self.home.parent),
            pool="pool",
            retries=20,
        )
        sealed = seal(
            purpose_of(self.store.put_deployment(spec, [])),
            nbformat.writes(new_notebook(cells=made)).encode(),
            self.home,
        )
        self.deployment = self.store.put_deployment(replace(spec, snapshot=sealed), [])

    def order(self, n: int, seconds: float) -> list[str]:
        """Ask for runs; gives what they are called in the file."""
        found = []
        for _ in range(n):
            parameters: dict[str, object] = {"seconds": seconds}
            if self.deployment.kind is DeploymentKind.NOTEBOOK:
                parameters["key"] = f"key-{next(self._keys)}"
            order = self.store.add_order(self.deployment.id, parameters=parameters)
            found.append(str(parameters.get("key", order.run_id)))
        return found

    def start(self, n: int = 1, limit: int = 4) -> None:
        self.workers += [Child(WORKER, self.home, limit) for _ in range(n)]

    def replace(self, worker: Child) -> None:
        self.workers[self.workers.index(worker)] = Child(WORKER, self.home, 4)

    def run_processes(self) -> list[int]:
        """Those that carry out runs or wait for one, not those that they have started."""
        found = []
        for pid in pids_of(self.home):
            with suppress(OSError):
                # One that they are about to start is a copy of them for a moment.
                is_own = os.getpgid(pid) == pid
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if is_own and b"nbflow.deploy.run_process" in command:
                    found.append(pid)
        return found

    def owners(self) -> dict[str, int]:
        """Process id of each owner in the store."""
        return {
            str(one): int(str(pid)) for one, pid in read(self.home, "SELECT id, pid FROM owners")
        }

    def states(self) -> Counter[str]:
        rows = read(self.home, "SELECT state_name, count(*) FROM runs WHERE kind='flow' GROUP BY 1")
        return Counter({str(name): int(str(n)) for name, n in rows})

    def tries(self) -> Counter[str]:
        """How often each run's task was begun, as its signs of life say."""
        return Counter({run_id: len(found) for run_id, found in spans(self.effects).items()})

    def until_completed(self, n: int, seconds: float = 100.0) -> None:
        """Fails as soon as a run ends otherwise."""

        def is_so() -> bool:
            states = self.states()
            lost = (
                "SELECT name, state_name, message FROM runs WHERE kind = 'flow' AND state_name = ?"
            )
            for name in ("Failed", "Crashed", "Cancelled"):
                assert not states[name], read(self.home, lost, name)
            return states["Completed"] >= n

        until(is_so, seconds)

    def end(self) -> str:
        """Have the workers end in good order; gives what they said."""
        for worker in self.workers:
            worker.send(signal.SIGTERM)
        for worker in self.workers:
            worker.end()
        until(lambda: not pids_of(self.home), 20)
        return "".join(worker.stderr for worker in self.workers)


@pytest.fixture
def pool(home: Path, request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A pool; its flow can be chosen."""
    kind = getattr(request, "param", "plain")
    made = Pool(home, kind)
    if kind == "notebook":
        made.deploy_notebook()
    yield made
    made.store.close()
    kill_all(home)
    for worker in made.workers:
        worker.kill()  # closes its pipes


LONG = [pytest.mark.reliability, pytest.mark.timeout(600)]


@pytest.mark.parametrize("who", ["worker", "run", "both"])
@pytest.mark.parametrize("seconds", [4.0, pytest.param(40.0, marks=LONG)])
def test_what_is_stopped_for_long_goes_on_alone(pool: Pool, who: str, seconds: float) -> None:
    """Longer than a heartbeat, and in the long version than any lease: it lives, so it is its."""
    (run_id,) = pool.order(1, seconds=1.0)
    pool.start()
    until(lambda: run_id in pool.tries())
    (worker,) = pool.workers
    owner_id = pool.store.find_run(run_id).owner_id
    stopped = {"worker": [worker.pid], "run": [pool.owners()[owner_id]]}
    stopped["both"] = stopped["worker"] + stopped["run"]
    for pid in stopped[who]:
        os.kill(pid, signal.SIGSTOP)
    pool.start()  # with room for it
    other = pool.order(1, seconds=0.0)
    until(lambda: pool.store.find_run(other[0]).is_final)
    time.sleep(seconds)  # cut off
    for pid in stopped[who]:
        os.kill(pid, signal.SIGCONT)
    pool.until_completed(2)
    pool.end()

    assert overlaps(pool.effects) == []
    assert pool.tries() == {run_id: 1, other[0]: 1}
    assert unfinished(pool.home) == []


@pytest.mark.parametrize("pool", ["plain", "threads", "processes", "notebook"], indirect=True)
def test_nothing_of_a_killed_worker_goes_on(pool: Pool) -> None:
    run_ids = pool.order(2, seconds=3.0)
    pool.start()
    until(lambda: len(pool.tries()) == 2)
    pool.start()  # takes over
    (worker, _) = pool.workers
    before = pids_of(pool.home) - {worker.pid}
    worker.kill()
    killed_at = time.monotonic()
    pool.workers.remove(worker)
    until(lambda: sum(pool.tries().values()) == 4 or pool.states()["Failed"], 30)
    took = time.monotonic() - killed_at
    pool.until_completed(2)
    pool.end()

    print(f"begun again after {took:.2f} s")
    assert took < 10
    ends = [last for found in spans(pool.effects).values() for _, last in found.values()]
    assert sorted(ends)[1] - killed_at < 2  # its runs ended with it
    assert overlaps(pool.effects) == []
    assert pool.tries() == dict.fromkeys(run_ids, 2)
    assert unfinished(pool.home) == []
    assert before


@pytest.mark.parametrize("pool", ["plain", "processes"], indirect=True)
def test_run_whose_process_is_killed_is_begun_again_alone(pool: Pool) -> None:
    (run_id,) = pool.order(1, seconds=2.0)
    pool.start(2)
    until(lambda: run_id in pool.tries())
    os.kill(pool.owners()[pool.store.find_run(run_id).owner_id], signal.SIGKILL)
    pool.until_completed(1)
    pool.end()

    assert pool.tries() == {run_id: 2}
    assert overlaps(pool.effects) == []


def kill_often(
    pool: Pool, rng: random.Random, *, n_orders: int, n_kills: int, apart_seconds: float
) -> None:
    """Orders come, and at random instants a worker or the process of a run is killed."""
    pool.start(3)
    left = n_orders
    killed = Counter[str]()
    for _ in range(n_kills):
        n = min(left, rng.randrange(2 * n_orders // n_kills + 1))
        pool.order(n, seconds=0.3)
        left -= n
        time.sleep(rng.uniform(0, 2 * apart_seconds))  # the random instant
        who = rng.choice(["worker", "run"])
        if who == "worker":
            worker = rng.choice(pool.workers)
            worker.kill()
            pool.replace(worker)
        elif pids := pool.run_processes():
            with suppress(ProcessLookupError):
                os.kill(rng.choice(pids), signal.SIGKILL)
        killed[who] += 1
    pool.order(left, seconds=0.3)
    pool.until_completed(n_orders, 200)
    pool.end()
    print(killed, "tries:", Counter(pool.tries().values()))


@pytest.mark.parametrize("pool", ["plain", "processes"], indirect=True)
@pytest.mark.parametrize(
    ("n_orders", "n_kills"), [(40, 12), pytest.param(300, 120, marks=LONG, id="long")]
)
def test_orders_among_kills_all_complete(pool: Pool, n_orders: int, n_kills: int) -> None:
    kill_often(pool, seeded(), n_orders=n_orders, n_kills=n_kills, apart_seconds=0.3)

    assert pool.states() == {"Completed": n_orders}
    assert overlaps(pool.effects) == []
    assert len(pool.tries()) == n_orders
    assert unfinished(pool.home) == []
    waiting = "SELECT count(*) FROM orders WHERE taken_at IS NULL"
    assert read(pool.home, waiting) == [(0,)]


@pytest.mark.parametrize(
    ("n_orders", "n_terms"), [(20, 5), pytest.param(200, 50, marks=LONG, id="long")]
)
def test_workers_that_are_told_to_end_leave_nothing_half_done(
    pool: Pool, n_orders: int, n_terms: int
) -> None:
    rng = seeded()
    run_ids = pool.order(n_orders, seconds=0.3)
    pool.start(3)
    ended = []
    for _ in range(n_terms):
        time.sleep(rng.uniform(0, 0.6))  # the random instant
        worker = rng.choice(pool.workers)
        worker.send(rng.choice([signal.SIGTERM, signal.SIGINT]))
        ended.append(worker)
        pool.replace(worker)
    pool.until_completed(n_orders)
    for worker in ended:
        until(lambda worker=worker: worker._process.poll() is not None, 20)
        worker.kill()
    pool.end()

    assert pool.tries() == dict.fromkeys(run_ids, 1)
    assert overlaps(pool.effects) == []
    codes = Counter(worker._process.returncode for worker in ended)
    print(codes)
    # Told before it could listen, a process ends as any other does.
    assert set(codes) <= {0, -signal.SIGTERM, -signal.SIGINT}
    assert unfinished(pool.home) == []


def test_workers_stopped_at_random_share_orders_once_each(pool: Pool) -> None:
    rng = seeded()
    run_ids = pool.order(30, seconds=0.2)
    pool.start(3)
    while pool.states()["Completed"] < 30:
        pid = rng.choice([*(one.pid for one in pool.workers), *pool.run_processes()])
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(rng.uniform(0, 0.5))  # for as long it is cut off
            os.kill(pid, signal.SIGCONT)
    pool.end()

    assert pool.tries() == dict.fromkeys(run_ids, 1)
    assert overlaps(pool.effects) == []
    assert unfinished(pool.home) == []


@pytest.mark.parametrize("pool", ["plain", "processes", "notebook"], indirect=True)
def test_worker_killed_with_the_process_of_its_run(pool: Pool) -> None:
    """Nobody is left that could end what that process has started: it ends by itself."""
    (name,) = pool.order(1, seconds=3.0)
    pool.start()
    until(lambda: name in pool.tries())
    pool.start()
    (worker, _) = pool.workers
    for pid in [worker.pid, *pool.run_processes()]:
        os.kill(pid, signal.SIGKILL)
    worker.kill()
    pool.workers.remove(worker)
    pool.until_completed(1)
    pool.end()

    assert pool.tries() == {name: 2}
    assert overlaps(pool.effects) == []
    assert unfinished(pool.home) == []
