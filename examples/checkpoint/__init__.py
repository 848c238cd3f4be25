"""Trains the small SigLIP checkpoint of this repository from generated scenes and permissively licensed images."""
