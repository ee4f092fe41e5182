"""Steps of a release: version, notes, chart package, and a dry run against registries on this machine.

The steps are run by `make` targets; `.github/RELEASING.md` gives their order.
"""
