"""What clicks, sessions, events and money are: values and rules, no I/O."""
