"""MLflow: the store, runs, queries, datasets, and what is kept while a tracking server is away."""
