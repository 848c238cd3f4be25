"""Against real tools of integrators, from npm."""
