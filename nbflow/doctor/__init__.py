"""What nbflow finds on this machine, and what keeps it from doing its work."""

from __future__ import annotations

from nbflow.doctor.examination import Examination, examine, report

__all__ = ["Examination", "examine", "report"]
