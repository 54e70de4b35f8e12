"""One module for each entry point of MLproject: options are parsed, `mnflow.pipeline` is called."""
