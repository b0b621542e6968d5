# The same services as containers, for where only a Docker engine is at hand.
# shellcheck shell=bash

compose_is_possible() { docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }
