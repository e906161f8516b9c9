"""What to send and how to judge what comes back: pure functions, one module a chapter."""
