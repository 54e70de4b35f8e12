"""What was served per day, as a run and a figure: requests, classes, flags, and how far windows moved."""

from dataclasses import dataclass
from pathlib import Path

from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Where the servers keep their counts."""

    folder: str = option("served", "the folder that MNFLOW_WATCH named when the servers were started")


def run(options: Options) -> str:
    """Read the counts, log them, and return the run's id."""
    from mnflow.pipeline.served_counts import log_days, read_days
    from mnflow.track import tracking

    with tracking.step(tracking.tags_of("watch"), "watch", vars(options)) as own:
        log_days(own, read_days(Path(options.folder)))
    return own.id


if __name__ == "__main__":
    execute(Options, run)
