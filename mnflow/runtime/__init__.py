"""How commands run, without spectra: options, files, processes, signals, workers, the project, its lock."""
