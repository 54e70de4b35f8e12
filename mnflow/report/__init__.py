"""The report: one HTML page, without network, that compares any set of runs."""
