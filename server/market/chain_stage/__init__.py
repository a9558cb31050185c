"""The stage of the worker that keeps option chains: quotes in, valued chains and their minutes out."""
