"""`python -m mnflow.simulate mn`: compute the shipped stick library of a settings file anew."""

import sys
from pathlib import Path

from mnflow.simulate.library import SHIPPED, compute, file_name, save
from mnflow.simulate.settings import load

if __name__ == "__main__":
    settings = load(Path(sys.argv[1]))
    print(save(compute(settings, print), SHIPPED / file_name(settings)))
