"""MLflow: the store, runs, queries, names of metrics and tags, and what is kept while a server is away."""
