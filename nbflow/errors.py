"""Every exception nbflow raises. Each carries its facts and writes its own sentence."""

from __future__ import annotations

from pathlib import Path


class NbflowError(Exception):
    """Base of all nbflow errors."""


# --- what the user declared ---------------------------------------------------------------


class InvalidOption(NbflowError, TypeError):
    """An option of `@flow`, `@task` or a magic has a value it does not take."""

    def __init__(self, owner: str, option: str, value: object, takes: str) -> None:
        self.owner, self.option, self.value, self.takes = owner, option, value, takes
        super().__init__(f"{owner}: {option}={value!r} is not valid; {option} takes {takes}")


class UnknownOption(NbflowError, TypeError):
    """An option that does not exist was given."""

    def __init__(self, owner: str, option: str, advice: str) -> None:
        self.owner, self.option, self.advice = owner, option, advice
        super().__init__(f"{owner} has no option {option!r}; {advice}")


class ParameterError(NbflowError, TypeError):
    """The arguments of a flow do not fit its parameters."""


class ReservedParameter(NbflowError, TypeError):
    """A function has a parameter whose name nbflow's call options use."""

    def __init__(self, function: str, names: list[str]) -> None:
        self.function, self.names = function, names
        listed = ", ".join(repr(name) for name in names)
        super().__init__(
            f"{function}() has the reserved parameter {listed}; rename it: nbflow's own call "
            "options 'return_state' and 'wait_for' would shadow it"
        )


class MappingError(NbflowError, ValueError):
    """`.map()` was given nothing to iterate over, or iterables of different lengths."""


# --- what happened to a run ---------------------------------------------------------------


class RunError(NbflowError):
    """A run has no result to give."""


class FailedRun(RunError):
    """A run failed without leaving an exception to raise."""


class CancelledRun(RunError):
    """The run was cancelled, so it has no result."""


class CrashedRun(RunError):
    """The run's process or thread went away before it finished."""


class UnfinishedRun(RunError):
    """The run has not finished, so it has no result yet."""


class MissingResult(RunError):
    """The run finished, but its result was not kept."""


class RunTimedOut(NbflowError, TimeoutError):
    """A run passed its `timeout_seconds`."""

    def __init__(self, what: str, timeout_seconds: float) -> None:
        self.what, self.timeout_seconds = what, timeout_seconds
        super().__init__(f"{what} exceeded its timeout of {timeout_seconds:g} seconds")

    def __reduce__(self) -> tuple[type[RunTimedOut], tuple[str, float]]:
        return type(self), (self.what, self.timeout_seconds)


class UpstreamFailed(RunError):
    """A task was not run, because a run it depends on did not complete."""

    def __init__(self, upstream: str, state: str) -> None:
        self.upstream, self.state = upstream, state
        super().__init__(
            f"task run {upstream!r}, which this one needs, ended as {state}; "
            "wrap the argument in allow_failure(...) to run all the same"
        )

    def __reduce__(self) -> tuple[type[UpstreamFailed], tuple[str, str]]:
        return type(self), (self.upstream, self.state)


class NotInRun(NbflowError, RuntimeError):
    """Something that needs a running flow or task was used outside of one."""


class NotPicklable(NbflowError, TypeError):
    """A value cannot cross to a worker process."""


class RemoteError(NbflowError):
    """Stands for an exception of a worker process that could not be brought back itself."""

    def __init__(self, type_name: str, text: str, remote_traceback: str) -> None:
        self.type_name, self.text, self.remote_traceback = type_name, text, remote_traceback
        super().__init__(f"{type_name}: {text}\n\n{remote_traceback}")

    def __reduce__(self) -> tuple[type[RemoteError], tuple[str, str, str]]:
        return type(self), (self.type_name, self.text, self.remote_traceback)


class Interrupted(BaseException):
    """Raised inside user code to end a try. No `Exception`: `except Exception` must let it by."""


# --- the store ----------------------------------------------------------------------------


class StoreError(NbflowError):
    """The store cannot be used."""


class StoreUnavailable(StoreError):
    """The store cannot be opened or written."""

    def __init__(self, path: Path, reason: str, advice: str) -> None:
        self.path, self.reason, self.advice = path, reason, advice
        super().__init__(f"cannot use the store {path}: {reason}; {advice}")


class StoreTooNew(StoreError):
    """The store was written by a newer nbflow."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        self.path, self.found, self.known = path, found, known
        super().__init__(
            f"the store {path} has schema {found}, this nbflow knows up to {known}; "
            "upgrade nbflow (`pip install -U nbflow`) or choose another folder with NBFLOW_HOME"
        )


class RunNotFound(NbflowError, LookupError):
    """No run with this id or name is in the store."""

    def __init__(self, run: str, path: Path) -> None:
        self.run, self.path = run, path
        super().__init__(f"no run {run!r} in {path}; list them with `nbflow runs ls`")


class AmbiguousRun(NbflowError, LookupError):
    """A shortened run id fits several runs."""

    def __init__(self, run: str, ids: list[str]) -> None:
        self.run, self.ids = run, ids
        n = str(len(ids)) if len(ids) <= 5 else "more than 5"
        listed = ", ".join(ids[:5])
        super().__init__(f"{run!r} fits {n} runs: {listed}; give more digits, or the run's name")


# --- limits, transactions, results --------------------------------------------------------


class LimitNotFound(NbflowError, LookupError):
    """No concurrency limit has this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"no concurrency limit {name!r}; create it with "
            f"`nbflow concurrency-limit create {name} N`"
        )


class AcquireTimedOut(NbflowError, TimeoutError):
    """No slot of a concurrency limit came free in time."""

    def __init__(self, names: list[str], timeout_seconds: float) -> None:
        self.names, self.timeout_seconds = names, timeout_seconds
        listed = ", ".join(repr(name) for name in names)
        super().__init__(f"no free slot of {listed} within {timeout_seconds:g} seconds")


class TransactionError(NbflowError):
    """A transaction was used in a way it does not allow."""


class Unfingerprintable(NbflowError, TypeError):
    """A value has no content digest that is sure to be the same for equal values."""

    def __init__(self, type_name: str, where: str = "") -> None:
        self.type_name, self.where = type_name, where
        place = f" (in {where})" if where else ""
        super().__init__(f"a value of type {type_name}{place} has no stable fingerprint")


class Unstorable(NbflowError, TypeError):
    """A value would not come back from storage as what it is."""


class ResultUnreadable(NbflowError):
    """A stored result is damaged, unsigned or of another user; it was not unpickled."""


# --- notebooks ----------------------------------------------------------------------------


class NotebookFailed(NbflowError):
    """A notebook run stopped at a cell that raised."""

    def __init__(self, cell: str, error: str) -> None:
        self.cell, self.error = cell, error
        super().__init__(f"{cell} failed: {error}")


class MissingOutput(NbflowError, NameError):
    """A cell did not write a name it was to write."""

    def __init__(self, missing: list[str], written: tuple[str, ...]) -> None:
        self.missing, self.written = missing, written
        super().__init__(
            f"the cell did not write {', '.join(missing)}, named by --outputs; "
            f"it writes {', '.join(written) or 'nothing'}"
        )


class CellSyntaxError(NbflowError):
    """A cell's body is not Python. Not a `SyntaxError`: those IPython shows with all our frames."""


# --- schedules ----------------------------------------------------------------------------


class InvalidSchedule(NbflowError, ValueError):
    """A schedule, or a part of one, cannot be understood or would never fire."""

    def __init__(self, what: str, value: object, reason: str) -> None:
        self.what, self.value, self.reason = what, value, reason
        shown = repr(value)
        if len(shown) > 100:
            shown = f"{shown[:96]}...{shown[-1]}"
        super().__init__(f"{what} {shown} is not valid: {reason}")

    def __reduce__(self) -> tuple[type[InvalidSchedule], tuple[str, object, str]]:
        return type(self), (self.what, self.value, self.reason)


# --- deployments, schedules, pools --------------------------------------------------------


class DeploymentNotFound(NbflowError, LookupError):
    """No deployment has this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no deployment {name!r}; list them with `nbflow deployment ls`")


class AmbiguousDeployment(NbflowError, LookupError):
    """Deployments of several flows have this name."""

    def __init__(self, name: str, full_names: list[str]) -> None:
        self.name, self.full_names = name, full_names
        super().__init__(
            f"{name!r} fits {len(full_names)} deployments; give one of {', '.join(full_names)}"
        )


class ScheduleNotFound(NbflowError, LookupError):
    """No schedule has this name, or several have it."""

    def __init__(self, name: str, fitting: list[str] | None = None) -> None:
        self.name, self.fitting = name, fitting or []
        text = f"no schedule {name!r}; list them with `nbflow deployment ls` or `%schedule --list`"
        if fitting:
            shown = ", ".join(fitting[:5]) + (", ..." if len(fitting) > 5 else "")
            text = f"{name!r} fits {len(fitting)} schedules; give one of {shown}"
        super().__init__(text)


class PoolNotFound(NbflowError, LookupError):
    """No work pool has this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"no work pool {name!r}; create it with "
            f"`nbflow work-pool create --type process {name}`, or list them with "
            "`nbflow work-pool ls`"
        )


class PoolExists(NbflowError, ValueError):
    """A work pool of this name, but of another type, is there already."""

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind
        super().__init__(
            f"the work pool {name!r} is there already, of type {kind}; choose another name, "
            f"or delete it with `nbflow work-pool delete {name}`"
        )
