"""Where attempts run: one module an executor; ``local`` is this machine."""
