"""The `mnflow` command: arguments are parsed before anything slow is imported."""
