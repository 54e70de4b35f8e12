"""`python -m mnflow` is the `mnflow` command."""

from mnflow.command.main import main

if __name__ == "__main__":
    main()
