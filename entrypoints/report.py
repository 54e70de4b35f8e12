"""One self-contained HTML page that compares runs: curves, Table 1, t-SNE and differing parameters."""

from dataclasses import dataclass
from pathlib import Path

from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Which runs to compare, and where to write the page."""

    runs: str = option(
        "newest",
        "ids of finished runs, separated by commas; newest: the newest cv_train run of every setting",
    )
    out: str = option("report.html", "the file to write; it is logged to MLflow, too")
    title: str = option("Oxidation states from EELS", "title of the page")


def run(options: Options) -> str:
    """Gather the runs, write and log the page, and return the id of the report's own run."""
    from mnflow.promote.registry import champion_in_words
    from mnflow.report.gather import find_runs, gather
    from mnflow.report.page import render, write
    from mnflow.runtime.cli import relative, say
    from mnflow.track import tracking

    with tracking.step(tracking.tags_of("report"), "report", vars(options)) as own:
        data = gather(find_runs(options.runs), champion_in_words())
        path = write(render(data, options.title), Path(options.out))
        own.file(path)
        compared = ", ".join(run["label"] for run in data["runs"])
        own.note("\n".join([*data["verdict"], f"Open the artifact {path.name}. It compares {compared}."]))
    say(f"Report of {len(data['runs'])} runs: {relative(path.resolve())} (open it in a browser)")
    return own.id


if __name__ == "__main__":
    execute(Options, run)
