"""When flows run: `flow.serve(schedule=Cron("0 8 * * *", timezone="Europe/Paris"))`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, TypedDict, TypeVar, Unpack

from nbflow.errors import InvalidSchedule
from nbflow.model.schedules import CatchUp, Overlap, ScheduleSpec
from nbflow.triggers import texts
from nbflow.triggers.cron import CronTrigger
from nbflow.triggers.date import DateTrigger
from nbflow.triggers.events import AfterTrigger, FilesTrigger
from nbflow.triggers.interval import IntervalTrigger
from nbflow.triggers.rrule import RRuleTrigger
from nbflow.triggers.trigger import Trigger

__all__ = [
    "After",
    "At",
    "CatchUp",
    "Cron",
    "CronSchedule",
    "Interval",
    "IntervalSchedule",
    "OnChange",
    "Overlap",
    "RRule",
    "RRuleSchedule",
    "Schedule",
    "schedule_from",
]

_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A trigger, and what becomes of its fire times.

    Attributes:
        parameters: For its runs, on top of the deployment's.
        active: Whether it fires; None: as it was before, or yes if it is new.
        name: Unique in its deployment; None: it gets the deployment's name.
        catch_up: What becomes of fire times that nobody was there for.
        overlap: What becomes of a fire time while the earlier run has not ended.
        jitter_seconds: A run begins up to this much after its fire time.
        until_at: No fire time comes after it, in seconds since the epoch; None: there is no end.
    """

    trigger: Trigger
    parameters: Mapping[str, Any] = field(default_factory=dict)
    active: bool | None = None
    name: str | None = None
    catch_up: CatchUp = CatchUp.LATEST
    overlap: Overlap = Overlap.SKIP
    jitter_seconds: float = 0.0
    until_at: float | None = None

    def spec(self, default_name: str, now: float) -> ScheduleSpec:
        """What the store takes, with the first fire time after `now`.

        That is None for triggers that wait for an event, and where no fire time is left.
        """
        first_at = self.trigger.next_after(now)
        if first_at is not None and self.until_at is not None and first_at > self.until_at:
            first_at = None
        return ScheduleSpec(
            name=self.name or default_name,
            trigger=self.trigger.to_json(),
            first_at=first_at,
            parameters=self.parameters,
            catch_up=self.catch_up,
            overlap=self.overlap,
            jitter_seconds=self.jitter_seconds,
            until_at=self.until_at,
            is_active=self.active,
        )


def check_times_left(schedule: Schedule, now: float) -> None:
    """Return if the schedule fires at some time after `now`, or waits for an event.

    Not for scripts, which declare the same schedule each time they are started.

    Raises:
        InvalidSchedule: All of its times have passed.
    """
    waits = isinstance(schedule.trigger, AfterTrigger | FilesTrigger)
    if not waits and schedule.spec("", now).first_at is None:
        words = schedule.trigger.words()
        raise InvalidSchedule("schedule", words, "all of its times have passed; give a later one")


class Policies(TypedDict, total=False):
    """What every kind of schedule takes beside its trigger; None is as good as not given.

    Attributes:
        parameters: For its runs, on top of the deployment's.
        active: Whether it fires.
        name: Of the schedule; `slug` is the same.
        catch_up: "skip", "latest" or "all".
        overlap: "skip", "queue", "cancel" or "allow".
        jitter: "30s", a timedelta or seconds.
        until: "2026-12-24T18:00", a datetime or seconds since the epoch.
    """

    parameters: Mapping[str, Any] | None
    active: bool | None
    name: str | None
    slug: str | None
    catch_up: str | CatchUp | None
    overlap: str | Overlap | None
    jitter: str | float | timedelta | None
    until: str | float | date | None


def Cron(  # noqa: N802  # the name users know
    cron: str,
    timezone: str | None = None,
    *,
    day_or: bool = True,
    **policies: Unpack[Policies],
) -> Schedule:
    """Times named by a cron expression: `Cron("0 8 * * 1-5", timezone="America/New_York")`.

    A time that a clock change leaves out runs at the change, one that comes twice runs once;
    where minute or hour begin with `*`, elapsed time counts.

    Args:
        cron: Five fields (minute hour day month weekday), or an alias such as @daily.
        timezone: None: this machine's.
        day_or: False: where both day and weekday are given, both must fit.

    Raises:
        InvalidSchedule: It is not understood, or names no time that ever comes.
    """
    if not isinstance(day_or, bool):
        raise InvalidSchedule("day_or", day_or, "it must be True or False")
    return _schedule(CronTrigger(cron, _zone_name(timezone), day_or), policies)


def Interval(  # noqa: N802
    interval: str | float | timedelta,
    anchor_date: str | float | date | None = None,
    timezone: str | None = None,
    **policies: Unpack[Policies],
) -> Schedule:
    """Every so much elapsed time: `Interval(timedelta(hours=6))`, `Interval("90s")`.

    Args:
        interval: At least 0.01 s; a number is seconds.
        anchor_date: One of the fire times; the others lie before and after it in equal steps.
            None: midnight of Monday, 1 January 2024.
        timezone: Of the anchor, and for showing times. None: this machine's.

    Raises:
        InvalidSchedule: It is not understood.
    """
    zone = _zone_name(timezone)
    anchor_at = None if anchor_date is None else texts.instant(anchor_date, zone, "anchor_date")
    return _schedule(IntervalTrigger(texts.interval_seconds(interval), anchor_at, zone), policies)


def RRule(  # noqa: N802
    rrule: str, timezone: str | None = None, **policies: Unpack[Policies]
) -> Schedule:
    """Times named by a recurrence rule: `RRule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17")`.

    Args:
        rrule: One rule of RFC 5545, or lines of DTSTART, RRULE, RDATE and EXDATE.
        timezone: None: the one that DTSTART names, or this machine's.

    Raises:
        InvalidSchedule: It is not understood, or names no time that ever comes.
    """
    if timezone is None and isinstance(rrule, str) and "TZID=" in rrule.upper():
        timezone = "UTC"  # which the trigger replaces by the one of DTSTART
    return _schedule(RRuleTrigger(rrule, _zone_name(timezone)), policies)


def At(  # noqa: N802
    when: str | float | date, timezone: str | None = None, **policies: Unpack[Policies]
) -> Schedule:
    """Once: `At("2026-12-24T18:00", timezone="Europe/Paris")`.

    Args:
        when: A text, a datetime, or seconds since the epoch.
        timezone: Of a time without an offset. None: this machine's.

    Raises:
        InvalidSchedule: It is not understood.
    """
    zone = _zone_name(timezone)
    return _schedule(DateTrigger(texts.instant(when, zone), zone), policies)


def OnChange(  # noqa: N802
    *patterns: str,
    folder: str | os.PathLike[str] | None = None,
    timezone: str | None = None,
    **policies: Unpack[Policies],
) -> Schedule:
    """When files change: `OnChange("data/*.csv")`.

    Args:
        patterns: As for `glob`.
        folder: What they are relative to. None: the working directory.
        timezone: For showing times. None: this machine's.

    Raises:
        InvalidSchedule: There is no pattern, or it cannot be one.
    """
    where = os.path.abspath(os.fspath(folder) if folder is not None else "")
    return _schedule(FilesTrigger(patterns, where, _zone_name(timezone)), policies)


def After(  # noqa: N802
    flow: Any, timezone: str | None = None, **policies: Unpack[Policies]
) -> Schedule:
    """When a run of another flow has completed: `After("load")`, `After(load)`.

    Args:
        flow: The flow, or its name.
        timezone: For showing times. None: this machine's.

    Raises:
        InvalidSchedule: It is neither.
    """
    name = flow if isinstance(flow, str) else getattr(flow, "name", None)
    if not isinstance(name, str):
        raise InvalidSchedule("after", flow, "give a flow or its name")
    return _schedule(AfterTrigger(name, _zone_name(timezone)), policies)


CronSchedule, IntervalSchedule, RRuleSchedule = Cron, Interval, RRule


def schedule_from(
    *,
    cron: str | None = None,
    interval: str | float | timedelta | None = None,
    rrule: str | None = None,
    at: str | float | date | None = None,
    on_change: str | list[str] | tuple[str, ...] | None = None,
    after: Any = None,
    schedule: Schedule | None = None,
    timezone: str | None = None,
    **policies: Unpack[Policies],
) -> Schedule | None:
    """The schedule that the options of a command, a magic or a method ask for; None: they do not.

    Raises:
        InvalidSchedule: More than one is asked for, or it is not understood.
    """
    options = {
        "cron": cron,
        "interval": interval,
        "rrule": rrule,
        "at": at,
        "on_change": on_change or None,
        "after": after,
        "schedule": schedule,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if len(given) > 1:
        raise InvalidSchedule("schedule", list(given), "give one of them, not several")
    if schedule is not None:
        return _changed(schedule, timezone, policies)
    if cron is not None:
        return Cron(cron, timezone, **policies)
    if interval is not None:
        return Interval(interval, None, timezone, **policies)
    if rrule is not None:
        return RRule(rrule, timezone, **policies)
    if at is not None:
        return At(at, timezone, **policies)
    if after is not None:
        return After(after, timezone, **policies)
    if on_change:
        patterns = (on_change,) if isinstance(on_change, str) else tuple(on_change)
        return OnChange(*patterns, timezone=timezone, **policies)
    left = {"timezone": timezone, **policies}
    for name, value in left.items():
        if value is not None:
            reason = f"there is no schedule for it; give {', '.join(options)}"
            raise InvalidSchedule(name, value, reason)
    return None


def _changed(schedule: Any, timezone: str | None, policies: Policies) -> Schedule:
    """A schedule with the policies that are given beside it."""
    if not isinstance(schedule, Schedule):
        advice = "give Cron(...), Interval(...), RRule(...) or another of nbflow.schedules"
        raise InvalidSchedule("schedule", schedule, advice)
    if timezone is not None and texts.zone(timezone).key != schedule.trigger.timezone:
        reason = f"the schedule has {schedule.trigger.timezone}; give it to the schedule itself"
        raise InvalidSchedule("timezone", timezone, reason)
    given = _fields(policies, schedule.trigger.timezone)
    return dataclasses.replace(schedule, **given)


def _schedule(trigger: Trigger, policies: Policies) -> Schedule:
    return Schedule(trigger=trigger, **_fields(policies, trigger.timezone))


def _fields(policies: Policies, timezone: str) -> dict[str, Any]:
    """Policies as `Schedule` has them, each checked."""
    unknown = sorted(set(policies) - set(Policies.__annotations__))
    if unknown:
        takes = ", ".join(Policies.__annotations__)
        raise InvalidSchedule("schedule option", unknown[0], f"a schedule takes {takes}")
    given: dict[str, Any] = {key: value for key, value in policies.items() if value is not None}
    slug = given.pop("slug", None)
    if slug is not None and given.setdefault("name", slug) != slug:
        raise InvalidSchedule("slug", slug, f"the name is {given['name']!r}; give one of them")
    _check("parameters", given, Mapping, "it must be a dict of the flow's parameters")
    _check("active", given, bool, "it must be True or False")
    _check("name", given, str, "it must be a text")
    if not given.get("name", "-").strip():
        raise InvalidSchedule("name", given["name"], "it must not be empty")
    if "catch_up" in given:
        given["catch_up"] = _choice(CatchUp, "catch_up", given["catch_up"])
    if "overlap" in given:
        given["overlap"] = _choice(Overlap, "overlap", given["overlap"])
    if "jitter" in given:
        given["jitter_seconds"] = texts.seconds(given.pop("jitter"), "jitter")
    if "until" in given:
        given["until_at"] = texts.instant(given.pop("until"), timezone, "until")
    return given


def _check(name: str, given: Mapping[str, Any], kind: type, takes: str) -> None:
    if name in given and not isinstance(given[name], kind):
        raise InvalidSchedule(name, given[name], takes)


def _choice(kind: type[_Choice], name: str, value: object) -> _Choice:
    try:
        return kind(str(value))
    except ValueError:
        takes = ", ".join(repr(one.value) for one in kind)
        raise InvalidSchedule(name, value, f"give one of {takes}") from None


def _zone_name(timezone: str | None) -> str:
    return texts.local_zone_name() if timezone is None else texts.zone(timezone).key
