"""Many runs of one recipe: frozen before any starts, each in a work directory of its own, told, shown and searched."""
