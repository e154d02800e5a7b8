"""Write a trained ensemble as a model folder, and put it among the shipped models."""
