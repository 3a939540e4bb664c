"""Foreign protocols, each a thin translation onto the manager: one module a dialect."""
