"""The networks (Keras, JAX) and the classifiers that they are compared with."""
