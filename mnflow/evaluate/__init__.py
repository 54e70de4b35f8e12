"""Trained models and spectra -> accuracies, embeddings (t-SNE), activations, saliency. Arrays in and out."""
