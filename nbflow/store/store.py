"""The store as the rest of nbflow sees it: a thin facade over the table families."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from nbflow.errors import StoreError
from nbflow.model.events import Event
from nbflow.model.records import ArtifactRecord, LimitRecord, LineRecord, ResultRecord, RunRecord
from nbflow.store import bells, keepsakes, limits, owners, queries, requests, results
from nbflow.store.database import Database, unavailable
from nbflow.store.journal import Entry, Journal, entry_of
from nbflow.store.plans import Plans
from nbflow.store.writer import Backend, Writer

T = TypeVar("T")


class Store(Plans, Backend[Entry]):
    """One process' view of one store folder. Opens it when first used.

    Args:
        folder: Where the database lies; created if it is missing.
        on_request: Called on the store thread with each request to a run of this process.
        may_fall_back: Where the folder cannot be used, record to a temporary one and say so in
            one line, rather than fail: the user's flow must not depend on its journal.
    """

    def __init__(
        self,
        folder: Path,
        on_request: Callable[[requests.Request], None] = lambda _: None,
        *,
        may_fall_back: bool = True,
    ) -> None:
        self._wanted = folder
        self._on_request = on_request
        self._may_fall_back = may_fall_back
        self._temporary: Path | None = None
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._owner: owners.Owner | None = None
        self._journal: Journal | None = None
        self._writer: Writer[Entry] = Writer(self)

    # --- life ---------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The folder in use: the wanted one, or the temporary one it fell back to."""
        return self.database.path.parent

    @property
    def database(self) -> Database:
        """The open database.

        Raises:
            StoreError: It cannot be opened and falling back is not allowed.
        """
        if self._database is None:
            with self._lock:
                if self._database is None:
                    self._database = self._open_database()
        return self._database

    @property
    def owner_id(self) -> str:
        """This process' id in the store."""
        return self._own().id

    @property
    def is_temporary(self) -> bool:
        """Whether it fell back to a folder that goes with the process."""
        return self._temporary is not None

    def record(self, event: Event) -> None:
        """Bus subscriber. Returns at once; the row is written by the store thread."""
        self._writer.post(entry_of(event))

    def flush(self) -> None:
        """Wait until everything recorded so far is on disk."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left and let go of the file. The store cannot be used afterwards."""
        self._writer.close()
        if self._database is not None:
            self._database.close_reader()
        if self._owner is not None:
            self._owner.release()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def abandon(self) -> None:
        """Use it no more, in a forked child: its thread and its connections are the parent's."""
        self._writer.abandon()

    def _open_database(self) -> Database:
        try:
            return Database(self._wanted)
        except StoreError as error:
            if not self._may_fall_back:
                raise
            _tell(f"{error}. Until then runs are kept only while this process lives.")
            self._temporary = Path(tempfile.mkdtemp(prefix="nbflow-"))
            return Database(self._temporary)

    def _own(self) -> owners.Owner:
        if self._owner is None:
            folder = self.folder
            with self._lock:
                if self._owner is None:
                    self._owner = owners.Owner(folder)
        return self._owner

    # --- called by the writer, on the store thread ---------------------------------------

    def open(self) -> sqlite3.Connection:
        database = self.database
        try:
            return self._open_for_writing(database)
        except (OSError, sqlite3.Error) as error:
            refusal = unavailable(database.path, error)
            _tell(f"{refusal}. The runs of this process are not recorded.")
            raise refusal from error

    def _open_for_writing(self, database: Database) -> sqlite3.Connection:
        connection = database.connect()
        if database.on_network:
            _tell(
                f"{database.path} is on a network file system; "
                "a local folder (NBFLOW_HOME) is faster and safer."
            )
        owner = self._own()
        self._journal = Journal(owner.id)
        connection.execute("BEGIN IMMEDIATE")
        owner.register(connection)
        connection.execute("COMMIT")
        return connection

    def write(self, connection: sqlite3.Connection, items: list[Entry]) -> None:
        assert self._journal is not None
        used = [item for item in items if item[0] == results.USED]
        if used:
            results.use(connection, used)
            items = [item for item in items if item[0] != results.USED]
        self._journal.write(connection, items)

    @property
    def watching(self) -> bool:
        return self._is_worker or (self._journal is not None and self._journal.n_open > 0)

    def poll(self, connection: sqlite3.Connection) -> None:
        for request in requests.take(connection, self.owner_id):
            self._on_request(request)

    def committed(self, connection: sqlite3.Connection) -> None:
        assert self._journal is not None
        if self._journal.has_news:
            self._journal.has_news = False
            bells.ring_all(self.folder)
        self.database.checkpoint(connection)

    def failed(self, connection: sqlite3.Connection, error: sqlite3.Error) -> None:
        if self.database.make_room(connection):
            return  # what failed is written when it is tried again
        reason = unavailable(self.database.path, error)
        _tell(f"{reason}. Runs go on, but are not recorded until it is possible again.")

    def release(self, connection: sqlite3.Connection) -> None:
        self.database.checkpoint(connection, at_least_bytes=0)
        connection.close()

    # --- runs -----------------------------------------------------------------------------

    def reap(self) -> None:
        """Mark the runs of processes that are gone as Crashed. Cheap when there are none."""
        folder = self.folder
        for owner_id in owners.dead_owners(self.database.reader(), folder, self.owner_id):
            self._do_and_ring(partial(owners.bury, folder=folder, owner_id=owner_id))

    def runs(self, **filters: Any) -> list[RunRecord]:
        """Runs, newest first; see `queries.runs` for the filters."""
        return queries.runs(self.database.reader(), **filters)

    def find_run(self, run: str) -> RunRecord:
        """One run by id, first digits of it, or name.

        Raises:
            RunNotFound, AmbiguousRun: It cannot be told which.
        """
        return queries.find(self.database.reader(), run, self.database.path)

    def family(self, run_id: str) -> list[RunRecord]:
        """The run and every run inside it, oldest first."""
        return queries.family(self.database.reader(), run_id)

    def lines(self, run_id: str, **filters: Any) -> list[LineRecord]:
        """What a run logged and the states it entered; see `queries.lines`."""
        return queries.lines(self.database.reader(), run_id, **filters)

    def delete_run(self, run_id: str) -> int:
        """Delete a run with all inside it; gives the number of runs deleted."""
        return self._do(partial(queries.delete, run_id=run_id))

    def request(self, owner_id: str, run_id: str, verb: str) -> None:
        """Ask the owner of a run to do something. Returns when the request is on disk."""
        self._do(partial(requests.post, owner_id=owner_id, run_id=run_id, verb=verb))

    # --- limits ---------------------------------------------------------------------------

    def acquire(
        self, names: list[str], slots: int, lease_id: str, run_id: str
    ) -> limits.Acquisition:
        """Try to take slots of limits; see `limits.acquire`. Waits for the commit."""
        owner_id = self.owner_id
        return self._do(
            lambda connection: limits.acquire(
                connection, names, slots, lease_id=lease_id, owner_id=owner_id, run_id=run_id
            )
        )

    def release_lease(self, lease_id: str, names: tuple[str, ...]) -> None:
        """Give slots back. Waits for the commit."""
        self._do(partial(limits.release, lease_id=lease_id, names=names))

    def create_limit(self, name: str, slots: int, decay_per_second: float | None = None) -> None:
        """Create a limit or change its size."""
        self._do(lambda connection: limits.create(connection, name, slots, decay_per_second))

    def delete_limit(self, name: str) -> None:
        """Delete a limit.

        Raises:
            LimitNotFound: There is none of this name.
        """
        self._do(partial(limits.delete, name=name))

    def limits(self, name: str | None = None) -> list[LimitRecord]:
        """Every limit with its holders, or the one asked for."""
        return limits.listed(self.database.reader(), name)

    # --- results --------------------------------------------------------------------------

    def put_result(self, row: results.ResultRow) -> str | None:
        """Record a result, when it is on disk; gives the file that it took the place of."""
        return self._do(partial(results.put, row=row))

    def get_result(self, key: str) -> results.ResultRow | None:
        """The result under `key`, if there is one."""
        return results.get(self.database.reader(), key)

    def use_result(self, key: str, seconds: float) -> None:
        """Count a hit that saved `seconds`. Returns at once."""
        self._writer.post((results.USED, key, seconds, time.time()))

    def drop_result(self, row: results.ResultRow) -> None:
        """Forget a result, but not another that has taken its place."""
        self._do(partial(results.drop, row=row))

    def list_results(self, **filters: str | None) -> list[ResultRecord]:
        """Kept results, newest first; see `results.listed` for the filters."""
        self.flush()  # the hits of this process
        return results.listed(self.database.reader(), **filters)

    def result_keys(self, group: str) -> list[str]:
        """The keys of the results of a group."""
        return results.keys(self.database.reader(), group)

    def forget_results(
        self, *, key: str | None, task_name: str | None, run_id: str | None
    ) -> results.Removed:
        """Forget the results that fit; see `results.forget`."""
        return self._do(partial(results.forget, key=key, task_name=task_name, run_id=run_id))

    def prune_results(self, *, max_bytes: int, oldest_at: float | None) -> results.Removed:
        """Forget the results that are over the limits; see `results.prune`."""
        now = time.time()
        return self._do(partial(results.prune, now=now, max_bytes=max_bytes, oldest_at=oldest_at))

    def result_bytes(self) -> int:
        """Size of all kept results."""
        return results.total_bytes(self.database.reader())

    def result_files(self) -> set[str]:
        """Names of all files that belong to a result."""
        return results.files(self.database.reader())

    def ancestors(self, run_id: str) -> set[str]:
        """The run's id and those of the runs around it, when they are on disk."""
        self.flush()
        return results.ancestors(self.database.reader(), run_id)

    # --- artifacts and variables ------------------------------------------------------------

    def add_artifact(self, **fields: Any) -> str:
        """Keep an artifact; gives its id. See `keepsakes.add_artifact`."""
        return self._do(partial(keepsakes.add_artifact, **fields))

    def update_artifact(self, artifact_id: str, data: Any, description: str | None = None) -> bool:
        """Change an artifact; False: there is none with this id."""
        return self._do(
            lambda connection: keepsakes.update_artifact(connection, artifact_id, data, description)
        )

    def artifacts(self, **filters: Any) -> list[ArtifactRecord]:
        """Artifacts, newest first; see `keepsakes.artifacts`."""
        return keepsakes.artifacts(self.database.reader(), **filters)

    def set_variable(self, name: str, value: Any, tags: list[str], overwrite: bool) -> bool:
        """Keep a value under a name; False: there is one already."""
        return self._do(
            lambda connection: keepsakes.set_variable(connection, name, value, tags, overwrite)
        )

    def unset_variable(self, name: str) -> bool:
        """Forget a variable; False: there was none."""
        return self._do(partial(keepsakes.unset_variable, name=name))

    def variables(self, name: str | None = None) -> dict[str, Any]:
        """Variables by name."""
        return keepsakes.variables(self.database.reader(), name)

    def _do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` on the store thread and wait for its commit (about 0.1 ms).

        Raises:
            StoreUnavailable: It could not be written.
        """
        try:
            return self._writer.call(job).result()
        except sqlite3.Error as error:
            raise unavailable(self.database.path, error) from error


def _tell(sentence: str) -> None:
    """One line on stderr, if there is one."""
    with contextlib.suppress(Exception):
        sys.stderr.write(f"nbflow: {sentence}\n")
