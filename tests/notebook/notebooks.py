"""A notebook in a real kernel: its cells have ids, as a front end sends them."""

from __future__ import annotations

from pathlib import Path

from tests.notebook.kernels import CellResult, Kernel


class Notebook(Kernel):
    """A kernel with nbflow loaded, in `folder`, with its store in `folder`/home.

    Two of one folder are two kernels of one notebook, one after the other.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        super().__init__(folder / "home", **environment)
        try:
            self.load(folder)
        except BaseException:
            self.close()
            raise

    def load(self, folder: Path) -> None:
        """Make it the notebook of this folder: without names, nbflow loaded anew."""
        begun = self.run(
            "import sys\n"
            "if 'nbflow' in sys.modules: get_ipython().run_line_magic('unload_ext', 'nbflow')\n"
            "%reset -f\n"
            "import os\n"
            f"os.environ['NBFLOW_HOME'] = {str(folder / 'home')!r}\n"
            f"os.environ['NBFLOW_NOTEBOOK'] = {str(folder / 'a.ipynb')!r}\n"
            f"os.chdir({str(folder)!r})\n"
            "%load_ext nbflow\n"
            "import threading\n"
        )
        assert begun.error is None, begun.error

    def send_cell(self, cell_id: str, code: str) -> str:
        """As `send`, from the cell of the notebook that has this id."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell_id})
        self.client.shell_channel.send(message)
        message_id: str = message["header"]["msg_id"]
        self._cells[message_id] = CellResult()
        return message_id

    def cell(self, cell_id: str, code: str) -> CellResult:
        """Run a cell of the notebook, or run it again with other code."""
        return self.wait(self.send_cell(cell_id, code))

    def cells(self, **cells: str) -> None:
        """Run cells, named by their ids, of which none may fail."""
        for cell_id, code in cells.items():
            ended = self.cell(cell_id, code)
            assert ended.error is None, ended.error
            assert "UsageError" not in ended.text(), ended.text()
