"""The `mnflow` command, what it prints and writes; arguments are parsed before anything slow is imported."""
