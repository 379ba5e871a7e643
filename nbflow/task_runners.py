"""Where submitted tasks run: threads of this process, or processes of their own."""

from nbflow.engine.processes import ProcessPoolTaskRunner
from nbflow.engine.runners import ThreadPoolTaskRunner

ConcurrentTaskRunner = ThreadPoolTaskRunner  # its name in older articles

__all__ = ["ConcurrentTaskRunner", "ProcessPoolTaskRunner", "ThreadPoolTaskRunner"]
