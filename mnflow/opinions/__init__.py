"""Second opinions: what a spectroscopist would measure by hand, beside the model's answer."""
