"""Write docs/reproduction.md: every claim of the paper, the results of finished runs, and a verdict."""

from dataclasses import dataclass
from pathlib import Path

from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Which runs to judge by, and where to write the document."""

    out: str = option("docs/reproduction.md", "the Markdown file to write; it is logged to MLflow, too")
    data: str = option(
        "newest", "newest: runs on the data of the newest cross-validation; or the id of a preprocess run"
    )
    compare_with: str = option(
        "none",
        "none, or the id of a preprocess run: adds a column with the claims judged by the runs on its data",
    )


def run(options: Options) -> str:
    """Read all finished runs, write and log the document, and return the id of this step's run."""
    from mnflow.report import summary
    from mnflow.report.page import write
    from mnflow.reproduction import swing
    from mnflow.reproduction.document import SHOWN, write_document
    from mnflow.reproduction.evidence import collect
    from mnflow.runtime.cli import relative, say
    from mnflow.track import tracking

    path = Path(options.out)
    with tracking.step(tracking.tags_of("reproduce"), "reproduce", vars(options)) as own:
        evidence = collect(options.data)
        other = None if options.compare_with == "none" else collect(options.compare_with)
        figures = {**summary.figures(evidence.runs), **swing.figures(evidence.runs)}
        path.parent.joinpath("figures").mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            own.figure(figure, name)
            if name in SHOWN:
                figure.savefig(path.parent / "figures" / f"{name}.png")
        own.file(write(write_document(evidence, other, shown=list(figures)), path))
        own.table(evidence.values, "evidence")
        if other:
            own.table(other.values, "evidence_compared")
        own.note(
            f"The paper's claims, judged by {len(evidence.values)} numbers of finished runs: see {path.name}."
        )
    say(f"Written: {relative(path.resolve())}")
    return own.id


if __name__ == "__main__":
    execute(Options, run)
