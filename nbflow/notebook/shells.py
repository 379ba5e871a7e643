"""What belongs to the shell rather than to the user."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from nbflow.flows import Flow
from nbflow.model.specs import FlowSpec

_HISTORY = re.compile(r"_\d+|_i+|_i\d+|_ih|_oh|_dh|In|Out|_exit_code")


def injected_names(shell: Any) -> Callable[[str, Any], bool]:
    """Tells names that IPython puts into the user's namespace, while they hold its values."""
    hidden = shell.user_ns_hidden
    absent = object()

    def is_injected(name: str, value: Any) -> bool:
        if name in ("_", "__", "___"):  # unless it is the user's: `for _ in range(3)`
            return value is getattr(shell.displayhook, name, absent)
        return bool(_HISTORY.fullmatch(name)) or hidden.get(name, absent) is value

    return is_injected


def shell_probes(shell: Any) -> dict[str, Callable[[], object]]:
    """Settings of the shell that decide what cells show; see `memo.hidden.settings`."""

    def display() -> object:
        formatter = shell.display_formatter
        plain = formatter.formatters["text/plain"]
        return (
            shell.ast_node_interactivity,
            sorted(formatter.active_types),
            plain.pprint,
            plain.float_format,
            plain.max_width,
            plain.max_seq_length,
            [(kind, _n_printers(one)) for kind, one in sorted(formatter.formatters.items())],
        )

    def figures() -> object:
        inline = sys.modules.get("matplotlib_inline.config")
        if inline is None:
            return None
        config = inline.InlineBackend.instance()
        return sorted(config.figure_formats), config.print_figure_kwargs, config.close_figures

    return {"how results are displayed": display, "how figures are displayed": figures}


def _n_printers(formatter: Any) -> int:
    """How many types have a printer of their own.

    Those of types not yet loaded move from one table to the other when they are first used, and
    numpy's floats, which follow `float_format`, come when they are loaded.
    """
    printers = {*formatter.type_printers, *formatter.deferred_printers}
    return len(printers) - sum(getattr(kind, "__module__", "") == "numpy" for kind in printers)


def flows_in(shell: Any) -> dict[str, Flow[..., Any]]:
    """The notebook's flows, by the names they are bound to."""
    return {
        name: value
        for name, value in list(shell.user_ns.items())
        if isinstance(value, Flow) and not name.startswith("_")
    }


def named(namespace: Mapping[str, Any], name: str) -> Any:
    """What a name, perhaps with dots, means; None: nothing."""
    root, _, rest = name.partition(".")
    try:
        return attrgetter(rest)(namespace[root]) if rest else namespace[root]
    except (KeyError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class LiveName:
    """A flow by its name in the notebook: what runs is what the name means by then."""

    namespace: Mapping[str, Any]
    name: str
    flow: Flow[..., Any]

    @property
    def newest_spec(self) -> FlowSpec:
        """Of the newest definition; of the one that was scheduled if the name is no flow now."""
        found = named(self.namespace, self.name)
        is_same = isinstance(found, Flow) and found.name == self.flow.name
        return found.newest_spec if is_same else self.flow.newest_spec
