"""Gaussian splats fitted to posed pictures."""
