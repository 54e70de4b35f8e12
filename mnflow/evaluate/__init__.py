"""Trained models and spectra -> accuracies, embeddings, activations, saliency. Arrays in, arrays out."""
