"""Where live events are kept: one protocol, in SQLite on one machine, or in Redis across machines."""
