"""Network helpers that roles share: listening, dialling, TLS trust, address checks, HTTP."""
