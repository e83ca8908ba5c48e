"""The files of a deployment, generated from the same tables that the code runs on."""
