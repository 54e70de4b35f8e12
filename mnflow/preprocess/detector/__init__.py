"""What detectors do to spectra (spikes, dead channels, gain steps, plateaus): found, repaired or flagged."""
