"""The domain, pure: purposes, rules, windows and what follows from them. No input, output or clock."""
