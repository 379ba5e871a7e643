"""When is the next fire time: pure, without a clock, a store or a thread."""
