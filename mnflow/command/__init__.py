"""The `mnflow` command: it reads its words before it imports anything that takes long."""
