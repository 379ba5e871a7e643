"""One thing the doctor found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """Something found.

    Attributes:
        section: What it is about.
        name: What it is a fact of, within the section.
        text: What was found.
        advice: What is to be done about it; empty: it is no problem.
    """

    section: str
    name: str
    text: str
    advice: str = ""

    @property
    def is_problem(self) -> bool:
        return bool(self.advice)
