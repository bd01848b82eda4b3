"""Latent variables: what answers measure, and whether they measure it everywhere alike."""
