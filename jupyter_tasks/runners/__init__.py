"""How each kind is run, inside the supervisor: one module a kind, loaded when first used."""
