"""Processes that serve one deployment between them, for tests of random kills and stops."""

from __future__ import annotations

import glob
import json
import os
import random
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Self

from children import Child, read
from mayhem import kill_all, until

from nbflow.triggers.interval import IntervalTrigger

# Declares the deployment again every second, as a notebook that is run again does, and moves its
# clock when it is told to. Each run writes who carries it out as long as it does.
SERVER = """
    import json, os, sys, threading, time
    import time_machine
    from nbflow import flow, runtime, task, wiring
    from nbflow.model.deployments import DeploymentKind, DeploymentSpec
    from nbflow.model.schedules import CatchUp, Overlap, ScheduleSpec
    from nbflow.scheduling.serving import Server
    from nbflow.task_runners import ProcessPoolTaskRunner
    from nbflow.triggers.loading import load

    about = json.loads(sys.argv[1])
    clock = None
    if about["begin_at"] is not None:
        clock = time_machine.travel(about["begin_at"], tick=True).start()

    def show_life(path, run_id, seconds):
        import os, time
        effects = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        attempt, end = os.urandom(4).hex(), time.monotonic() + seconds
        while True:
            now = time.monotonic()
            os.write(effects, f"{run_id} {attempt} {now}\\n".encode())
            if now >= end:
                os.close(effects)
                return seconds
            time.sleep(min(0.01, end - now))

    @flow
    def served(seconds):
        show_life(about["effects"], runtime.flow_run.id, seconds)

    @flow(name="served", task_runner=ProcessPoolTaskRunner(1))
    def with_workers(seconds):
        task(show_life).submit(about["effects"], runtime.flow_run.id, seconds).result()

    def schedules():
        for one in about["schedules"]:
            first_at = load(one["trigger"]).next_after(one["after"])
            policies = {"overlap": Overlap(one["overlap"]), "catch_up": CatchUp(one["catch_up"])}
            rest = {name: one[name] for name in ("name", "trigger", "until_at") if name in one}
            yield ScheduleSpec(first_at=first_at, **policies, **rest)

    spec = DeploymentSpec(
        flow_name="served", name="it", kind=DeploymentKind.FUNCTION, target="", folder="/",
        parameters={"seconds": about["seconds"]}, retries=about["retries"],
    )

    connected = wiring.current()
    server = Server(connected)

    def declare():
        one = with_workers if about["workers"] else served
        server.serve(connected.store.put_deployment(spec, list(schedules()), serve=True), one)

    declare()
    told = threading.Event()

    def again():
        while not told.wait(about["again"]):
            try:
                declare()
            except Exception as error:  # a disk that is full
                print("refused", type(error).__name__, flush=True)

    thread = threading.Thread(target=again)
    thread.start()
    print("serving", flush=True)
    for line in sys.stdin:
        verb, _, value = line.strip().partition(" ")
        if verb == "move":
            clock.shift(float(value))
        elif verb == "end":
            break
        print(verb, flush=True)
    told.set()
    thread.join()
    server.close()
    while server.running:
        server.join(1.0)
"""


def faketime() -> str | None:
    """The library that gives processes another clock, in C too; None: it is not installed.

    FAKETIME_LIBRARY tells where it is, if not where Debian's package `libfaketime` has it.
    """
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    return os.environ.get("FAKETIME_LIBRARY") or (found[0] if found else None)


class Servers:
    """`n` processes that serve the same deployment; who dies is replaced.

    Args:
        begin_at: What their clocks say at first; None: the time.
        library: `faketime()`: it moves the clocks, all at one instant; None: each moves its own.
    """

    def __init__(
        self,
        home: Path,
        n: int,
        schedules: list[dict[str, object]],
        *,
        begin_at: float | None = None,
        library: str | None = None,
        **about: object,
    ) -> None:
        self.home = home
        self.effects = home.parent / "effects"
        self._environment: dict[str, str] = {}
        self._offset = 0.0
        if library is not None and begin_at is not None:
            self._clock = home.parent / "clock"
            self._environment = {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            self.move(begin_at - time.time())
            begin_at = None
        settings = {"seconds": 0.0, "retries": 0, "again": 1.0, "workers": False}
        settings |= {"begin_at": begin_at}
        self._about = json.dumps(
            {**settings, "schedules": schedules, "effects": str(self.effects), **about}
        )
        self.n_kills = self.n_stops = 0
        self.said = ""  # on stderr, by all that have ended
        self.all = [self._start() for _ in range(n)]

    def _start(self) -> Child:
        return Child(SERVER, self.home, self._about, **self._environment)

    def move(self, seconds: float) -> None:
        """Set all clocks ahead, or back; returns when they are."""
        if self._environment:
            self._offset += seconds
            new = self._clock.with_suffix(".new")
            new.write_text(f"{self._offset:+.6f}")
            new.rename(self._clock)  # at one instant, for all
            return
        for child in self.all:
            child.tell(f"move {seconds}")
        for child in self.all:
            assert child.line() == "move"

    def wait_ready(self) -> None:
        for child in self.all:
            assert child.line() == "serving"

    def kill(self, rng: random.Random) -> None:
        """`kill -9` of one; another begins in its place."""
        n = rng.randrange(len(self.all))
        self.all[n].kill()
        self.said += self.all[n].stderr
        self.all[n] = self._start()
        self.n_kills += 1

    def stop(self, rng: random.Random) -> Callable[[], None]:
        """Stop one for a while; gives what lets it go on."""
        child = rng.choice(self.all)
        child.send(signal.SIGSTOP)
        self.n_stops += 1
        return lambda: child.send(signal.SIGCONT)

    def mayhem(self, rng: random.Random, seconds: float, n_kills: int, n_stops: int) -> None:
        """Kills and stops at random instants of the next `seconds`."""
        now = time.monotonic()
        deeds: list[tuple[float, Callable[[], None]]] = []

        def stop() -> None:
            deeds.append((time.monotonic() + rng.uniform(0.05, 0.6), self.stop(rng)))

        for n, deed in ((n_kills, lambda: self.kill(rng)), (n_stops, stop)):
            deeds += [(now + rng.uniform(0, seconds), deed) for _ in range(n)]
        while deeds:
            first = min(deeds, key=lambda one: one[0])
            deeds.remove(first)
            time.sleep(max(0.0, first[0] - time.monotonic()))
            first[1]()

    def end(self) -> None:
        """Have all end in good order."""
        for child in self.all:
            child.tell("end")
        for child in self.all:
            child.end()
            self.said += child.stderr

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kill_all(self.home)
        for child in self.all:
            child.kill()  # closes its pipes

    def overlaps(self) -> list[tuple[str, str, str]]:
        """Runs whose tries went on at the same time: (run, one try, another)."""
        return overlaps(self.effects)

    def tries(self) -> dict[str, int]:
        """How often each run was carried out, as far as it got."""
        return {run_id: len(attempts) for run_id, attempts in spans(self.effects).items()}


def spans(effects: Path) -> dict[str, dict[str, list[float]]]:
    """First and last sign of life of each try of each run, from lines of (run, try, instant)."""
    found: dict[str, dict[str, list[float]]] = {}
    for line in effects.read_text().splitlines() if effects.exists() else []:
        run_id, attempt, at = line.split()
        span = found.setdefault(run_id, {}).setdefault(attempt, [float(at), float(at)])
        span[:] = min(span[0], float(at)), max(span[1], float(at))
    return found


def overlaps(effects: Path) -> list[tuple[str, str, str]]:
    """Runs whose tries went on at the same time: (run, one try, another)."""
    found = []
    for run_id, attempts in spans(effects).items():
        ordered = sorted(attempts.items(), key=lambda one: one[1])
        for (one, before), (other, after) in pairwise(ordered):
            if after[0] <= before[1]:
                found.append((run_id, one, other))
    return found


def every(seconds: float, after: float, name: str = "often", **fields: object) -> dict[str, object]:
    """A schedule on a grid of `seconds`."""
    return {
        "name": name,
        "trigger": IntervalTrigger(seconds, anchor_at=0.0).to_json(),
        "after": after,
        "overlap": "allow",
        "catch_up": "latest",
        **fields,
    }


def fire_times(seconds: float, after: float, until_at: float) -> list[str]:
    """The causes of all fire times of such a schedule."""
    trigger, times, at = IntervalTrigger(seconds, anchor_at=0.0), [], after
    while (at := trigger.next_after(at) or float("inf")) <= until_at:
        times.append(str(round(at * 1000)))
    return times


def causes(home: Path, name: str = "often") -> list[str]:
    """Of the orders in the store, in order of their times."""
    rows = read(
        home,
        """SELECT cause FROM orders JOIN schedules s ON s.id = schedule_id WHERE s.name = ?
           ORDER BY CAST(cause AS INTEGER)""",
        name,
    )
    return [str(row[0]) for row in rows]


def wait_for_all(home: Path, wanted: list[str], seconds: float = 60.0) -> None:
    """Until as many fire times are in the store as there have to be, or more."""
    until(lambda: len(causes(home)) >= len(wanted), seconds)
