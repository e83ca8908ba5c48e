"""The rules of retention: purposes, terms and windows, in pure functions without input, output or clock."""
