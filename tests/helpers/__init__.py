"""What tests of several folders share: spectra, files, processes, numbers that are kept."""
