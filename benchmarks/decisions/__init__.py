"""What decisions by exact likelihoods are worth, measured on trained weights."""
