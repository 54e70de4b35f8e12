"""What training adds to spectra: energy shifts, scaled noise, and degraded copies."""
