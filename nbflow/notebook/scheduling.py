"""What `%schedule` was asked."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow.errors import NbflowError
from nbflow.flows import Flow
from nbflow.model.deployments import DeploymentRecord
from nbflow.model.schedules import ScheduleRecord
from nbflow.notebook import hosting
from nbflow.notebook.deploying import deploy_flow, deploy_notebook, hand_over, stem_of
from nbflow.notebook.flowing import parameters
from nbflow.notebook.parsing import names
from nbflow.notebook.schedule_views import ScheduleTable, ScheduleView
from nbflow.notebook.shells import LiveName, flows_in, named
from nbflow.schedules import Schedule, check_times_left, schedule_from
from nbflow.scheduling.addresses import check_addresses
from nbflow.scheduling.policy import next_fire_time
from nbflow.scheduling.runners import Runners
from nbflow.scheduling.telling import times_from_now
from nbflow.triggers.loading import load

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

_ACTIONS = ("pause", "resume", "trigger", "delete", "hand_over")
_CRON_FIELD = re.compile(r"[\d*?][\d*/,\-?#L]*|[A-Za-z]{3}([,\-][A-Za-z]{3})*")


def answer(session: Session, args: Any) -> Any:
    """Declare a schedule, act on one, or list them.

    Raises:
        UsageError: In one line, with what is accepted.
    """
    __tracebackhide__ = True
    for name, value in vars(args).items():
        setattr(args, name, _without_quotes(value))
    asked = [name for name in _ACTIONS if getattr(args, name) is not None]
    try:
        if told := _carries_out(session):
            return print(told)  # noqa: T201  (the answer)
        if len(asked) + bool(args.list) > 1:
            raise UsageError("%schedule does one thing at a time; give one of its verbs")
        if asked:
            if args.what or _given_times(args):
                verb = asked[0].replace("_", "-")
                raise UsageError(f"--{verb} takes the name of a schedule and no times")
            return _act(session, asked[0], args)
        if args.list or not _says_when(args):
            return ScheduleTable(session)
        return declare(session, args)
    except NbflowError as error:
        raise UsageError(str(error)) from None


def declare(session: Session, args: Any) -> ScheduleView:
    """Schedule the notebook or a flow, in this kernel from now on; gives what to show."""
    when, flow_name = _when(session, args)
    flow = _flow(session, flow_name) if flow_name is not None else None
    name = args.name or (flow.name if flow is not None else stem_of(session.place))
    schedule = _schedule(args, when, name)
    options = {
        "work_pool_name": args.pool,
        "tags": names(args.tags),
        "notify": check_addresses(args.notify),
        "parameters": parameters(args.parameter),
    }
    if flow is not None:
        done = deploy_flow(session, flow, name, schedule, options)
    else:
        done = deploy_notebook(session, name, schedule, options)
    live = None if flow is None else LiveName(session.shell.user_ns, flow_name or flow.name, flow)
    hosting.server_of(session).serve(done.record, live)
    session.keep_alive.wake()
    (found,) = session.watch().store.schedules(deployment_ids=[done.record.id])
    notes = [one for one in (_replaced(done.before, found), done.replaced, done.note) if one]
    return ScheduleView(session, found, done.record, notes)


def _carries_out(session: Session) -> str:
    """What a kernel says that is there for one run of a deployment: it schedules nothing.

    The notebook may have its `%schedule` cells in it.
    """
    connected = session.watch()
    run_id = connected.settings.parent_run
    if not run_id or connected.store.order(run_id) is None:
        return ""
    return "nbflow: nothing is scheduled here: this kernel carries out a scheduled run"


# --- what was written ---------------------------------------------------------------------------


def _without_quotes(value: Any) -> Any:
    """IPython's splitting leaves quotes as they are."""
    if isinstance(value, list):
        return [_without_quotes(one) for one in value]
    if isinstance(value, str) and len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]:
        return value[1:-1]
    return value


def _says_when(args: Any) -> bool:
    given = {name: value for name, value in vars(args).items() if name != "list"}
    return any(value not in (None, [], False) for value in given.values())


def _given_times(args: Any) -> dict[str, Any]:
    """The options that say when, as `schedule_from` takes them."""
    given = {
        "interval": args.every,
        "at": args.at,
        "on_change": args.on_change,
        "after": args.after,
    }
    return {name: value for name, value in given.items() if value is not None}


def _when(session: Session, args: Any) -> tuple[dict[str, Any], str | None]:
    """What says when, as `schedule_from` takes it, and the name of the flow, if there is one."""
    when = _given_times(args)
    words = list(args.what)
    if words and (not when or (_is_cron(words[0]) and not _is_flow(session, words[0]))):
        if len(words) >= 5 and all(_CRON_FIELD.fullmatch(word) for word in words[:5]):
            rest = " ".join(words[5:])
            told = f'%schedule "{" ".join(words[:5])}" {rest}'.strip()
            raise UsageError(f"put the cron text in quotes: {told}")
        if _is_flow(session, words[0]):
            raise UsageError(
                f'say when {words[0]} is to run, such as %schedule "0 8 * * *" {words[0]} or '
                f"%schedule --every 6h {words[0]}"
            )
        when["cron"] = words.pop(0)
    if not when:
        raise UsageError(
            'say when: a cron text such as "0 8 * * *", --every 6h, --at 2026-12-24T18:00, '
            "--on-change 'data/*.csv' or --after FLOW"
        )
    if len(words) > 1:
        raise UsageError(f"%schedule takes one flow, not {' '.join(words)}; a cron text in quotes")
    return when, (words[0] if words else None)


def _is_cron(text: str) -> bool:
    return " " in text or text.startswith("@") or _CRON_FIELD.fullmatch(text) is not None


def _is_flow(session: Session, name: str) -> bool:
    return isinstance(session.shell.user_ns.get(name), Flow)


def _flow(session: Session, name: str) -> Flow[..., Any]:
    namespace = session.shell.user_ns
    found = named(namespace, name)
    if isinstance(found, Flow):
        return found
    known = ", ".join(flows_in(session.shell)) or "none yet"
    if callable(found):
        raise UsageError(f"{name} is no flow; put @flow above its def. Flows here: {known}")
    raise UsageError(f"there is no flow {name!r} in this notebook; there are: {known}")


def _schedule(args: Any, when: Mapping[str, Any], name: str) -> Schedule:
    policies = {
        "catch_up": args.catch_up,
        "overlap": args.overlap,
        "jitter": args.jitter,
        "until": args.until,
    }
    given = {key: value for key, value in policies.items() if value is not None}
    schedule = schedule_from(**when, timezone=args.tz, name=name, **given)
    assert schedule is not None
    check_times_left(schedule, time.time())
    return schedule


def _replaced(before: ScheduleRecord | None, now: ScheduleRecord) -> str:
    """What the schedule was, in words, where it was another."""
    if before is None or dict(before.trigger) == dict(now.trigger):
        return ""
    return f"it takes the place of: {load(before.trigger).words()}"


# --- acting on a schedule -----------------------------------------------------------------------


def _act(session: Session, verb: str, args: Any) -> None:
    store = session.watch().store
    name = getattr(args, verb)
    found = store.find_schedule(name)
    (deployment,) = store.deployments(ids=[found.deployment_id])
    if verb != "hand_over" and args.pool is not None:
        raise UsageError(f"--pool goes with a new schedule or with --hand-over, not with --{verb}")
    if verb == "pause":
        store.pause_schedule(found.id, True)
        told = "is paused; go on with %schedule --resume " + name
    elif verb == "resume":
        told = _resume(session, found, deployment)
    elif verb == "trigger":
        given = parameters(args.parameter)
        if given:
            _check_run(session, deployment, {**found.parameters, **given})
        order = store.add_order(
            found.deployment_id,
            parameters={**found.parameters, **given},
            schedule_id=found.id,
        )
        is_stable = session.watch().settings.stable_output
        told = "runs once now" if is_stable else f"runs once now, as {order.run_name}"
        told = _unless_alone(session, deployment) or told
    elif verb == "delete":
        told = _delete(session, name, found, deployment)
    else:
        told = _hand_over(session, deployment, args.pool)
    print(f"schedule {found.name!r} {told}")  # noqa: T201  (the answer)


def _check_run(session: Session, deployment: DeploymentRecord, given: dict[str, Any]) -> None:
    """Refuse parameters that it does not take: of the flow that this kernel has, if it has it."""
    from nbflow.deploy.checking import check_run

    flows = [one for one in flows_in(session.shell).values() if one.name == deployment.flow_name]
    is_ours = bool(flows) and deployment.place == session.place
    check_run(deployment, given, flows[-1].newest_spec if is_ours else None)


def _unless_alone(session: Session, deployment: DeploymentRecord) -> str:
    """What keeps its runs waiting; empty: somebody lives that begins them."""
    store = session.watch().store
    pool = deployment.pool
    if deployment.server_id and store.is_alive(deployment.server_id):
        return ""
    if pool is None:
        return "waits: nobody serves it; run the cell again that scheduled it"
    trouble = Runners(store).trouble(pool)
    return "" if trouble is None else f"waits for a worker: {trouble.text}: {trouble.advice}"


def _resume(session: Session, found: ScheduleRecord, deployment: DeploymentRecord) -> str:
    store, trigger = session.watch().store, load(found.trigger)
    next_at = next_fire_time(trigger, time.time(), found.until_at)
    store.pause_schedule(found.id, False, next_at=next_at)
    if deployment.is_paused:
        others = store.schedules(deployment_ids=[deployment.id])
        store.pause_deployment(deployment.id, False, next_at=times_from_now(others, time.time()))
    return f"goes on: {trigger.words()}"


def _delete(
    session: Session, name: str, found: ScheduleRecord, deployment: DeploymentRecord
) -> str:
    """Delete it, and its deployment if `%schedule` made that for it alone."""
    store = session.watch().store
    if deployment.place != session.place and name != f"{deployment.full_name}/{found.name}":
        raise UsageError(
            f"schedule {found.name!r} is one of {deployment.place or deployment.full_name}, not of "
            "this notebook; to delete it all the same, give its full name: "
            f"%schedule --delete {deployment.full_name}/{found.name}"
        )
    others = store.schedules(deployment_ids=[deployment.id])
    if deployment.place == session.place and len(others) == 1:
        hosting.server_of(session).stop(deployment.id)
        store.delete_deployment(deployment.id)
    else:
        store.delete_schedule(found.id)
    return "is deleted; what it has run stays in %nbflow runs"


def _hand_over(session: Session, deployment: DeploymentRecord, pool: str | None) -> str:
    store = session.watch().store
    if pool is None:
        raise UsageError("--hand-over needs the work pool: %schedule --hand-over NAME --pool POOL")
    hand_over(session, deployment, store.find_pool(pool))
    hosting.server_of(session).stop(deployment.id)
    n = sum(one.is_alive for one in store.workers(pool))
    told = f"is left to the workers of pool {pool!r}"
    if not n:
        return f"{told}; there is none yet: start one with `nbflow worker start --pool {pool}`"
    return f"{told}, of whom there {'is' if n == 1 else 'are'} {n}"
