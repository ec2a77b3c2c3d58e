"""Code of Lambda functions. They get this folder alone, so that nothing here may import the rest."""
