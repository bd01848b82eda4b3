"""Latent variables: arrays in, arrays out."""
