"""Second opinions: what a spectroscopist would measure by hand, to compare with the model's answer."""
