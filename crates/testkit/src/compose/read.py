"""Reads a compose file as the compose specification says and prints it as JSON; fails on whatever the specification does not know."""

import sys

import compose_spec

with open(sys.argv[1], encoding="utf-8") as file:
    document = compose_spec.PyCompose.from_yaml(file.read())
document.validate()
print(document.to_json())
