"""A cell as the cache sees it: what its source tells."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType

from nbflow.analysis.effects import Effect, EffectKind, cell_effects, literal_paths, mentioned_words
from nbflow.analysis.names import CellNames
from nbflow.analysis.source import normal_source


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, ready to be looked up.

    Attributes:
        name: What listings call it.
        source: Its Python, after IPython's transforms.
        normal: The source without what makes no difference; see `analysis.source`.
        filename: What its code is called in tracebacks.
        inputs: Names the user says it needs, besides those the source tells.
        outputs: The only names it keeps; None: all it writes.
        form: What kind of run it is: what is kept of one kind does not fit another.
    """

    name: str
    source: str
    normal: str
    code: CodeType
    filename: str
    names: CellNames
    effects: tuple[Effect, ...]
    mentioned: frozenset[str]
    paths: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] | None = None
    form: str = ""

    @property
    def reads(self) -> set[str]:
        """Names whose values may decide what it does, as far as the source tells."""
        names = self.names
        called = (*names.deferred, *names.immediate)
        mutates = set(names.mutates) - set(names.writes)  # unless it binds them first
        return {*names.reads, *called, *mutates, *names.deletes, *self.inputs}


def cell_of(
    name: str,
    source: str,
    names: CellNames,
    filename: str,
    *,
    inputs: Sequence[str] = (),
    outputs: tuple[str, ...] | None = None,
    form: str = "",
) -> Cell:
    """The cell of a transformed source.

    Raises:
        SyntaxError: It is not Python.
    """
    # Compiled anew: in the code that runs, the value of a last expression is not thrown away.
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return Cell(
        name=name,
        source=source,
        normal=normal_source(source),
        code=compile(source, filename, "exec", flags=flags, dont_inherit=True),
        filename=filename,
        names=names,
        effects=cell_effects(source),
        mentioned=mentioned_words(source),
        paths=literal_paths(source),
        inputs=tuple(inputs),
        outputs=outputs,
        form=form,
    )


#: Kinds of effects that make a cell one to run, with what is said of them.
REASONS = {
    EffectKind.SHELL: "it runs shell commands",
    EffectKind.MAGIC: "it uses the magic",
    EffectKind.INPUT: "it waits for input",
    EffectKind.NAMESPACE: "it may use any name through",
    EffectKind.HISTORY: "it uses the history",
    EffectKind.STAR: "what its star import brings is unknown:",
    EffectKind.AWAIT: "it awaits",
}
