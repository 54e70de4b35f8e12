"""What runs a command, and knows nothing of spectra: options, files, processes, signals, workers, the
project.
"""
