"""For synchronous code: `with concurrency("db"):`, `rate_limit("api")`."""

from nbflow.concurrency.slots import concurrency, rate_limit

__all__ = ["concurrency", "rate_limit"]
